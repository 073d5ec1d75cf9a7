"""Random lists of layers: blocks of a ViT, each with widths of its own, and layers that no ViT has."""

from dataclasses import replace

import numpy as np

from hwgen.compiler.fit import fits
from hwgen.spec.activations import FUNCTIONS
from hwgen.spec.arch import ArchConfig
from hwgen.spec.constructors import Block, Builder, Embed, Heads, MoeBlock
from hwgen.spec.graph_model import GraphModel
from hwgen.spec.layers import Attention, Codes, Gelu, Linear, Norm, Residual, Rows
from hwgen.spec.model import TaskConfig


class _Draw:
    """Seeded choices, and the list so far."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng((0x67, seed))
        self.names = 0
        self.activation = list(FUNCTIONS)[seed % len(FUNCTIONS)]

    def __call__(self, *choices: int) -> int:
        return choices[int(self._rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)

    def name(self, kind: str) -> str:
        """A name that nothing has yet, and that says nothing to anyone."""
        self.names += 1
        return f"{kind}{self.names}"


def _heads(draw: _Draw, columns: int) -> int:
    return draw(*(heads for heads in (1, 2, 3, 4, 5) if columns % heads == 0))


def _add(draw: _Draw, to: Builder, name: str, source: str, inputs: int) -> None:
    """A linear layer that joins the residual stream: all of it, or its last rows."""
    first = draw(0, 0, 0, min(1, to.rows - 1), to.rows - 1)
    into = Residual(into=Rows(tensor=to.residual, first=first, count=to.rows - first), rows=to.rows)
    rows = Rows(tensor=source, first=first)
    to.linear(name, rows, (inputs, to.columns), into, "mlp", rows=to.rows - first)


def _adapter(draw: _Draw, to: Builder) -> None:
    """LayerNorm, or the rows as they are, a narrow layer of codes or of hidden units, and one or two ways back."""
    name, width = draw.name("adapter"), draw(3, 8, 16, 24)
    to.norm(f"{name}.norm")
    norm = to.layers[-1]
    if draw.names % 2 and isinstance(norm, Norm):
        to.layers[-1] = replace(norm, plain=True)
    finish = (
        Gelu(function=draw.activation)
        if draw.chance(0.5)
        else Codes(heads=draw(*(h for h in (1, 2, 3) if width % h == 0)))
    )
    to.linear(f"{name}.down", f"{name}.norm", (to.columns, width), finish, "mlp")
    for way in range(draw(1, 1, 2)):
        _add(draw, to, f"{name}.up{way}", f"{name}.down", width)


def _parallel(draw: _Draw, to: Builder) -> None:
    """Attention and MLP of one LayerNorm, the MLP after the attention has joined the stream."""
    name, heads, hidden = draw.name("parallel"), _heads(draw, to.columns), draw(8, 24, 40)
    to.norm(f"{name}.norm")
    _attention(to, name, heads)
    to.linear(f"{name}.proj", f"{name}.context", (to.columns, to.columns), to.added(), "attention")
    to.linear(f"{name}.fc1", f"{name}.norm", (to.columns, hidden), Gelu(function=draw.activation), "mlp")
    to.linear(f"{name}.fc2", f"{name}.fc1", (hidden, to.columns), to.added(), "mlp")


def _chained(draw: _Draw, to: Builder) -> None:
    """Attention whose values come from the queries, and a layer of codes on what it leaves."""
    name, heads = draw.name("chain"), _heads(draw, to.columns)
    to.norm(f"{name}.norm")
    _attention(to, name, heads, value=f"{name}.query")
    to.linear(f"{name}.codes", f"{name}.context", (to.columns, 16), Codes(), "attention")
    _add(draw, to, f"{name}.back", f"{name}.codes", 16)


def _attention(to: Builder, name: str, heads: int, value: str = "") -> None:
    square = (to.columns, to.columns)
    for part in ("query", "key", "value"):
        source = value if value and part == "value" else f"{name}.norm"
        to.linear(f"{name}.{part}", source, square, Codes(heads=heads), "attention")
    query, key, values = (Rows(tensor=f"{name}.{part}") for part in ("query", "key", "value"))
    to.add(
        Attention(
            name=name,
            writes=f"{name}.context",
            query=query,
            key=key,
            value=values,
            scores=f"{name}.scores",
            queries=to.rows,
            keys=to.rows,
            heads=heads,
            columns=to.columns,
        )
    )


def _crossed(draw: _Draw, to: Builder) -> None:
    """Two LayerNorms of one stream, of which the first changes it before the second has been read."""
    name, width = draw.name("crossed"), draw(8, 16, 40)
    to.norm(f"{name}.one")
    to.linear(f"{name}.codes", f"{name}.one", (to.columns, width), Codes(), "mlp")
    to.norm(f"{name}.two")
    _add(draw, to, f"{name}.back", f"{name}.codes", width)
    if draw.chance(0.5):
        _add(draw, to, f"{name}.again", f"{name}.codes", width)
    _add(draw, to, f"{name}.late", f"{name}.two", to.columns)


def _late_image(draw: _Draw, to: Builder) -> str:
    """The position table is read before the image is loaded; the tensor that is left for later."""
    position, patches, embed = to.layers
    to.layers = [position]
    to.residual = position.writes
    to.norm("early.norm")
    to.linear("early.codes", "early.norm", (to.columns, to.columns), Codes(), "mlp")
    to.layers += [patches, embed]
    to.residual = embed.writes
    return "early.codes"


def _block(draw: _Draw, to: Builder) -> None:
    Block(heads=_heads(draw, to.columns), hidden=draw(5, 8, 24, 40, 64), activation=draw.activation).add_to(to)


def _moe_block(draw: _Draw, to: Builder) -> None:
    experts = draw(1, 2, 3, 5, 8)
    MoeBlock(
        heads=_heads(draw, to.columns),
        hidden=draw(5, 8, 24, 32),
        experts=experts,
        top_k=draw(*range(1, min(experts, 4) + 1)),
        renormalise=draw.chance(0.3),
        activation=draw.activation,
    ).add_to(to)


PARTS = (_block, _moe_block, _adapter, _parallel, _chained)
CROSSED = (*PARTS, _crossed, _crossed)  # and lists that need waits of their own


def _tasks(draw: _Draw) -> tuple[TaskConfig, ...]:
    kinds = [TaskConfig(name="label", kind="classification", classes=draw(1, 7, 21, 70))]
    kinds.append(TaskConfig(name="map", kind="segmentation", classes=draw(1, 3), cell=draw(1, 2)))
    return tuple(kinds[: draw(1, 2)]) if draw.chance(0.6) else tuple(kinds[1:])


def random_graph(seed: int, arch: ArchConfig, *, crossed: bool = False) -> GraphModel:
    """A small network that fits ``arch``; the same seed gives the same one. ``crossed``: no block orders its parts."""
    draw = _Draw(seed)
    while True:
        model = _random_graph(draw, f"graph-{seed}", crossed)
        if fits(model.network, arch):
            return model


def _random_graph(draw: _Draw, name: str, crossed: bool) -> GraphModel:
    tasks = _tasks(draw)
    to = Builder(tasks)
    learned = draw.chance(0.5)
    width, height = draw(16, 32, 48), draw(8, 16, 32, 40)
    embed = Embed(
        height=height,
        width=width,
        patch=8,
        dim=draw(8, 12, 24, 32, 40, 60),
        channels=draw(1, 3),
        class_token="learned" if learned else "none",
    )
    embed.add_to(to)
    parts, early = CROSSED if crossed else PARTS, ""
    if crossed and draw.chance(0.4):
        early = _late_image(draw, to)
    for _ in range(draw(1, 1, 2, 3)):
        parts[draw(*range(len(parts)))](draw, to)
    if early:
        _add(draw, to, "early.back", early, to.columns)
    Heads(pool="token" if learned and draw.chance(0.4) else "mean").add_to(to)
    linears = [layer.name for layer in to.layers if isinstance(layer, Linear)]
    int4 = tuple(item for item in linears if draw.chance(0.3)) if draw.chance(0.3) else ()
    return GraphModel(name=name, layers=tuple(to.layers), tasks=tasks, int4=int4)
