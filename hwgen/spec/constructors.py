"""Constructors of layer lists: parts of a vision transformer, each a record that says what the part looks like."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from hwgen.spec.activations import Activation
from hwgen.spec.builder import Builder
from hwgen.spec.layers import (
    EPSILON,
    Epsilon,
    Experts,
    Gate,
    Gelu,
    Layer,
    Linear,
    Norm,
    Patches,
    Pool,
    Position,
    Residual,
    Result,
    Rows,
)
from hwgen.spec.layers.layer import Count, CountOrNone
from hwgen.spec.limits import Limits

if TYPE_CHECKING:
    from hwgen.spec.model import TaskConfig

ClassToken = Literal["learned", "none", "distilled"]
CLASS_TOKENS: dict[str, int] = {"learned": 1, "none": 0, "distilled": 2}  # kind -> how many
Share = Annotated[float, Limits(0.0, 1.0)]
Pooling = Literal["token", "mean", "mean_norm"]
_NORM = "norm"  # the last LayerNorm, of which heads read
POOL_NORM = "fc_norm"  # LayerNorm of the mean of the patches


@dataclass(frozen=True, kw_only=True)
class Embed:
    """The image as tokens: patches through a linear layer, added to the position table."""

    height: Count  # of the image, pixels
    width: Count
    patch: Count  # side, pixels
    dim: Count  # channels of the residual stream
    channels: Count = 3  # of the image
    class_token: ClassToken = "learned"  # none: there is none; distilled: two, of which heads read both
    registers: CountOrNone = 0  # tokens between class tokens and patches that no head reads

    def add_to(self, to: Builder) -> None:
        """Position table, patches, and their embedding."""
        patches = Patches(
            name="patches",
            writes="patches",
            height=self.height,
            width=self.width,
            channels=self.channels,
            patch=self.patch,
        )
        to.class_tokens = CLASS_TOKENS[self.class_token]
        to.first_patch = to.class_tokens + self.registers
        rows, learned = patches.rows + to.first_patch, to.class_tokens > 0
        to.add(Position(name="position", writes="position", rows=rows, columns=self.dim, class_token=learned))
        to.add(patches)
        into, name = Residual(into=Rows(tensor="position", first=to.first_patch), rows=rows), "patch_embed"
        to.linear(name, "patches", (patches.columns, self.dim), into, "patch_embed", rows=patches.rows)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Attention, then a multi-layer perceptron; each adds to the residual stream."""

    heads: Count
    hidden: Count  # units of the MLP
    activation: Activation = "gelu"  # between its two layers
    epsilon: Epsilon = EPSILON  # of its LayerNorms
    keep: Share = 0.0  # of the patch tokens that go on to the MLP and further, by class attention; 0: nothing is chosen
    fuse: bool = False  # what does not go on becomes one token more, by its importance

    def add_to(self, to: Builder) -> None:
        """Seven layers of attention, a selection, and LayerNorm and two linear layers."""
        at, to.epsilon = to.next_block(), self.epsilon
        to.attention(at, self.heads)
        to.select(at, self.heads, self.keep, fuse=self.fuse)
        to.norm(f"{at}.norm2")
        into, back = (to.columns, self.hidden), (self.hidden, to.columns)
        to.linear(f"{at}.fc1", f"{at}.norm2", into, Gelu(function=self.activation), "mlp", writes=f"{at}.hidden")
        to.linear(f"{at}.fc2", f"{at}.hidden", back, to.added(), "mlp", writes=f"{at}.mlp")


@dataclass(frozen=True, kw_only=True)
class MoeBlock:
    """Attention, then a mixture of experts with a gate a task; each adds to the residual stream."""

    heads: Count
    hidden: Count  # units of one expert
    experts: Count
    top_k: Count  # experts of each token
    renormalise: bool = False  # scores of the chosen experts rescaled to sum to one
    activation: Activation = "gelu"  # between the two layers of an expert
    epsilon: Epsilon = EPSILON  # of its LayerNorms
    keep: Share = 0.0  # of the patch tokens that go on to the experts and further; 0: nothing is chosen
    fuse: bool = False  # what does not go on becomes one token more, by its importance

    def add_to(self, to: Builder) -> None:
        """Seven layers of attention, a selection, and LayerNorm, gates and experts."""
        at, to.epsilon = to.next_block(), self.epsilon
        to.attention(at, self.heads)
        to.select(at, self.heads, self.keep, fuse=self.fuse)
        to.norm(f"{at}.norm2")
        gate, widths = Gate(block=at, top_k=self.top_k, renormalise=self.renormalise), (to.columns, self.experts)
        for task in to.tasks:
            own, writes = f"{at}.gate.{task.name}", f"{at}.gate"
            to.linear(own, f"{at}.norm2", widths, gate, "gates", writes=writes, task=task.name, bias="none")
        to.add(
            Experts(
                name=f"{at}.experts",
                writes=f"{at}.moe",
                source=Rows(tensor=f"{at}.norm2"),
                gate=Rows(tensor=f"{at}.gate"),
                into=Rows(tensor=to.residual),
                rows=to.rows,
                columns=to.columns,
                hidden=self.hidden,
                experts=self.experts,
                top_k=self.top_k,
                observed=(f"{at}.expert_hidden", f"{at}.expert_outputs"),
                codes=f"{at}.hidden",
                activation=self.activation,
            )
        )


@dataclass(frozen=True, kw_only=True)
class Heads:
    """The last LayerNorm, and a linear head a task: of class tokens, of the patches' mean, of every patch or token."""

    pool: Pooling = "token"  # what a classification head reads; mean: behind the LayerNorm, mean_norm: before it
    epsilon: Epsilon = EPSILON  # of the LayerNorm

    def add_to(self, to: Builder) -> None:
        """LayerNorm and heads; those of every token get back those that were let go."""
        if not to.rows:
            raise ValueError("heads: nothing is there yet; put embed before them")
        to.epsilon = self.epsilon
        classifies = any(task.kind == "classification" for task in to.tasks)
        if to.selections and any(task.kind != "classification" for task in to.tasks):
            if classifies and self.pool != "token":
                raise ValueError(
                    f"heads: pool is {self.pool}, tokens are let go, and a task beside it predicts every token: give"
                    " pool: token, or each task a network of its own"
                )
            to.restore()
        apart = self.pool == "mean_norm" and classifies
        if not apart:
            to.norm(_NORM)
        for task in to.tasks:
            if task.kind == "classification":
                self._classifier(to, task)
            else:
                if apart:
                    to.norm(_NORM, task=task.name)
                first = to.first_patch if task.kind != "features" else 0
                _head(to, task, Rows(tensor=_NORM, first=first, count=to.rows - first))

    def _classifier(self, to: Builder, task: "TaskConfig") -> None:
        """A head of one row: of all class tokens side by side, or of the mean."""
        if self.pool == "mean_norm":
            _head(to, task, _normalised_mean(to, task.name))
        elif self.pool == "mean":
            to.add(
                _pool(Rows(tensor=_NORM, first=to.first_patch, count=to.rows - to.first_patch), to.columns, task.name)
            )
            _head(to, task, Rows(tensor="pool", count=1))
        elif to.class_tokens:
            _head(to, task, Rows(tensor=_NORM, first=0, count=to.class_tokens), beside=to.class_tokens)
        else:
            raise ValueError(f"heads.{task.name}: reads the class token, and there is none; give pool: mean")


def _head(to: Builder, task: "TaskConfig", source: Rows, *, beside: int = 1) -> None:
    """Results of the rows of ``source``, or of all of them side by side."""
    assert source.count is not None
    widths = (to.columns * beside, task.outputs)
    name, rows = f"heads.{task.name}", source.count // beside
    to.linear(name, source, widths, Result(), "heads", rows=rows, task=task.name, beside=beside)


def _pool(source: Rows, columns: int, task: str) -> Pool:
    assert source.count is not None
    return Pool(
        name="pool",
        writes="pool",
        task=task,
        source=source,
        rows=source.count,
        columns=columns,
        values="pool.values",
        scores="pool.scores",
    )


def _normalised_mean(to: Builder, task: str) -> Rows:
    """LayerNorm of the mean of the patches: the mean is a residual stream of one row, which begins at zero.

    The patches become codes by gain and offset alone, each column in steps of its own; a linear layer, the identity in
    a network that has been trained elsewhere, adds the mean to the zeros.
    """
    columns, rows = to.columns, to.rows - to.first_patch
    source = Rows(tensor=to.residual, first=to.first_patch, count=rows)
    codes, start, mean = (f"pool.{part}" for part in ("codes", "start", "mean"))
    zeros = Position(name=start, writes=start, task=task, rows=1, columns=columns, class_token=False)
    first = next(place for place, layer in enumerate(to.layers) if isinstance(layer, Position))
    to.layers.insert(first + 1, zeros)  # beside the first stream: nobody has to wait for it later
    to.layers += [
        Norm(name=codes, writes=codes, task=task, source=source, rows=rows, columns=columns, plain=True),
        _pool(Rows(tensor=codes, count=rows), columns, task),
        Linear(
            name=mean,
            writes=mean,
            task=task,
            source=Rows(tensor="pool", count=1),
            rows=1,
            inputs=columns,
            outputs=columns,
            finish=Residual(into=Rows(tensor=start), rows=1),
            part="heads",
            bias="none",
        ),
        Norm(
            name=POOL_NORM,
            writes=POOL_NORM,
            task=task,
            source=Rows(tensor=mean),
            rows=1,
            columns=columns,
            epsilon=to.epsilon,
        ),
    ]
    return Rows(tensor=POOL_NORM, count=1)


Constructor = Embed | Block | MoeBlock | Heads
CONSTRUCTORS: dict[str, type[Constructor]] = {"embed": Embed, "block": Block, "moe_block": MoeBlock, "heads": Heads}


def built(tasks: "Sequence[TaskConfig]", parts: Sequence[Constructor | Layer]) -> tuple[Layer, ...]:
    """The layers of all parts, in order."""
    builder = Builder(tasks)
    for part in parts:
        if isinstance(part, Layer):
            builder.add(part)
        else:
            part.add_to(builder)
    return tuple(builder.layers)
