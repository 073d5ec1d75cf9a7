"""A vision transformer found in the tensors of a graph: from the answer back to the image, then block by block."""

# pyright: basic
# (nodes are protobuf messages)

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from golden.reference.functions import ACTIVATIONS
from hwgen.frontend.importers.onnx_graph.file import Graph
from hwgen.frontend.importers.onnx_graph.values import (
    NONE,
    Array,
    Base,
    Context,
    Linear,
    Mean,
    Norm,
    Patches,
    Pointwise,
    Sum,
    View,
)
from hwgen.spec.activations import Activation
from hwgen.spec.constructors import ClassToken, Pooling

_PROBES = np.linspace(-9.0, 9.0, 3001)  # where an activation is told from another
_SAME = 2e-5  # two forms of one activation differ by float32 rounding; GELU and its tanh form by 5e-4


@dataclass(frozen=True, kw_only=True)
class Block:
    """Arrays of one block by their names in a float model, without ``blocks.N.``, and what it is besides."""

    arrays: dict[str, Array]
    heads: int
    activation: Activation
    output: str  # the tensor that leaves it


@dataclass(frozen=True, kw_only=True)
class Found:
    """A whole network. position: [tokens, dim], class token and registers included. head: weight and bias, or None."""

    patches: Patches
    position: Array
    blocks: tuple[Block, ...]
    norm: Norm
    head: tuple[Array, Array] | None
    class_token: ClassToken
    registers: int
    pool: Pooling
    features: bool  # every token is an answer
    epsilon: float


class _Walker:
    """Walks back through the tensors of a graph; CheckpointError names the node where it is no such network."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.epsilons: dict[str, float] = {}

    def refuse(self, base: Base, why: str) -> NoReturn:
        """A refusal that names the node of a tensor."""
        if base.node is None:
            raise self.graph.refusal(self.graph.nodes[0], f"the image: {why}")
        raise self.graph.refusal(base.node, why)

    def norm(self, view: View, why: str) -> Norm:
        """The LayerNorm that a view is rows of."""
        if not isinstance(view.base, Norm) or not view.plain:
            self.refuse(view.base, why)
        self.epsilons[view.base.node.name] = view.base.epsilon
        return view.base

    def whole(self, view: View, why: str) -> Base:
        """The tensor that a view is, whole and unchanged."""
        if not view.whole or not view.plain:
            self.refuse(view.base, why)
        return view.base

    # From the stream back to the image.

    def blocks(self, stream: View) -> tuple[View, tuple[Block, ...]]:
        """The tokens before the first block, and the blocks."""
        sums: list[tuple[Sum, Linear, View]] = []
        while isinstance(stream.base, Sum):
            total = stream.base
            self.whole(stream, "not all tokens go on")
            stream, branch = self._branch(total)
            sums.append((total, branch, stream))
        sums.reverse()
        if not sums or len(sums) % 2:
            self.refuse(stream.base, f"{len(sums)} residual sums behind it; blocks have two each, attention and MLP")
        pairs = zip(sums[::2], sums[1::2], strict=True)
        return stream, tuple(self._block(first, second) for first, second in pairs)

    def _branch(self, total: Sum) -> tuple[View, Linear]:
        """What a sum adds to the stream, a linear layer; and the stream before."""
        sides = (total.left, total.right)
        branches = [isinstance(side.base, Linear) for side in sides]
        if branches.count(True) != 1:
            classes = " and ".join(type(side.base).__name__ for side in sides)
            self.refuse(
                total,
                f"adds {classes}; blocks of the machine are pre-norm: the residual stream and a linear layer",
            )
        stream, branch = sides[branches.index(False)], sides[branches.index(True)]
        return stream, _unscaled(self, branch)

    def _block(self, first: tuple[Sum, Linear, View], second: tuple[Sum, Linear, View]) -> Block:
        """Attention, then MLP."""
        attended, heads = self._attention(first[1], first[2])
        hidden, activation = self._mlp(second[1], second[2])
        return Block(arrays=attended | hidden, heads=heads, activation=activation, output=second[0].output)

    def _normed(self, name: str, view: View, stream: View) -> tuple[dict[str, Array], Norm]:
        """The LayerNorm whose rows a layer reads, all of them, and that reads the stream."""
        self.whole(view, "does not read all tokens as they are")
        norm = self.norm(view, "reads the stream without a LayerNorm; blocks of the machine are pre-norm")
        if norm.source.base is not stream.base or not _same_view(norm.source, stream):
            self.refuse(norm, "does not normalise the residual stream as it is there")
        return {f"{name}.weight": norm.weight, f"{name}.bias": norm.bias}, norm

    def _attention(self, proj: Linear, stream: View) -> tuple[dict[str, Array], int]:
        """Query, key, value and projection, in the order of heads; and their number."""
        context = proj.source.base
        if not isinstance(context, Context) or not proj.source.plain:
            self.refuse(proj, "the first branch of a block is no attention")
        scores = context.probabilities.scores
        heads, rows, width = context.shape
        if proj.source.index.size != heads * rows * width:
            self.refuse(proj, "does not read the heads of all tokens")
        spread = _columns(proj.source.index.reshape(rows, heads, width), context.shape, (1, 0, 2))
        if spread is None:
            self.refuse(proj, "does not read the heads of one token side by side")
        arrays: dict[str, Array] = {}
        weight = np.zeros_like(proj.weight)
        weight[:, spread.ravel()] = proj.weight
        arrays["proj.weight"], arrays["proj.bias"] = weight, proj.bias
        scale = context.probabilities.scale * float(scores.query.factor) * float(scores.key.factor) * width**0.5
        key = scores.key.moved(lambda array: array.transpose(0, 2, 1))
        norms = set[Norm]()
        for name, view, factor in (
            ("query", scores.query, scale),
            ("key", key, 1.0),
            ("value", context.value, float(context.value.factor)),
        ):
            own, norm = self._heads(name, view, stream, factor, (heads, rows, width))
            arrays |= own
            norms.add(norm)
        if len(norms) != 1:
            self.refuse(proj, "queries, keys and values do not read one LayerNorm")
        return arrays, heads

    def _heads(
        self, name: str, view: View, stream: View, factor: float, shape: tuple[int, ...]
    ) -> tuple[dict[str, Array], Norm]:
        """Weight and bias of one of query, key and value."""
        layer = view.base
        if not isinstance(layer, Linear) or view.factor.size != 1 or (view.offset != 0).any():
            self.refuse(layer, f"is no plain {name}")
        if view.shape != shape:
            self.refuse(layer, f"{name} has shape {list(view.shape)}, the context {list(shape)}")
        columns = _columns(view.index, layer.shape, (0, 1, 2))
        if columns is None:
            self.refuse(layer, f"rows of {name} are no tokens")
        norms, norm = self._normed("norm1", layer.source, stream)
        flat = columns.ravel()
        return {f"{name}.weight": layer.weight[flat] * factor, f"{name}.bias": layer.bias[flat] * factor} | norms, norm

    def _mlp(self, second: Linear, stream: View) -> tuple[dict[str, Array], Activation]:
        """Two linear layers and what lies between."""
        hidden = second.source.base
        if not isinstance(hidden, Pointwise) or not isinstance(hidden.source, Linear):
            self.refuse(second, "the second branch of a block is no MLP of two linear layers with an activation")
        if not second.source.whole or not second.source.scalar:
            self.refuse(second, "does not read the hidden units as they are")
        first = hidden.source
        function, factor, offset = hidden.function, float(second.source.factor), float(second.source.offset)
        activation = self._activation(hidden, lambda x: factor * function(x) + offset)
        arrays, _ = self._normed("norm2", first.source, stream)
        arrays |= {"fc1.weight": first.weight, "fc1.bias": first.bias}
        return arrays | {"fc2.weight": second.weight, "fc2.bias": second.bias}, activation

    def _activation(self, base: Pointwise, function: Any) -> Activation:
        """Which of the machine's activations a function is, told by its values."""
        with np.errstate(all="ignore"):
            values = np.asarray(function(_PROBES), dtype=np.float64)
            distances = {name: float(np.abs(values - known(_PROBES)).max()) for name, known in ACTIVATIONS.items()}
        best = min(distances, key=lambda name: distances[name])
        if not distances[best] <= _SAME:
            self.refuse(
                base,
                f"another function than the machine's between the layers of an MLP; {best} is nearest, and up to"
                f" {distances[best]:.2g} away",
            )
        return best  # pyright: ignore[reportReturnType]

    # The tokens before block 0, and the answer behind the last.

    def tokens(self, stream: View) -> tuple[Patches, Array, int]:
        """Patch embedding, what is added to the tokens, and how many rows are in front of the patches."""
        patches = stream.base
        if not isinstance(patches, Patches):
            self.refuse(patches, "stands where the tokens of the patches were expected")
        rows, (count, dim) = stream.rows(), patches.shape
        prefix = rows.shape[0] - count
        wanted = np.concatenate([np.full((max(prefix, 0), dim), NONE), np.arange(count * dim).reshape(count, dim)])
        if prefix < 0 or not np.array_equal(rows.index, wanted) or (rows.factor != 1).any():
            self.refuse(patches, "the patches do not follow class token and registers in the order of the image")
        return patches, np.broadcast_to(rows.offset, rows.shape).astype(np.float64), prefix

    def head(self, answer: View) -> tuple[tuple[Array, Array] | None, Norm, list[int], Pooling]:
        """Weight and bias of the head, the last LayerNorm, the tokens that are read, and how they are pooled."""
        answer = answer.rows()
        if isinstance(answer.base, Sum) and all(
            isinstance(side.base, Linear) for side in (answer.base.left, answer.base.right)
        ):
            return self._two_heads(answer)
        if not isinstance(answer.base, Linear):
            return None, *self._pooled(answer)
        layer = _unscaled(self, answer)
        return (layer.weight, layer.bias), *self._pooled(layer.source)

    def _two_heads(self, answer: View) -> tuple[tuple[Array, Array], Norm, list[int], Pooling]:
        """Heads of two class tokens, added (and halved)."""
        total = answer.base
        assert isinstance(total, Sum)
        if not answer.whole or not answer.scalar:
            self.refuse(total, "the answer is a part of a sum")
        factor = float(answer.factor)
        heads = [self.head(side) for side in (total.left, total.right)]
        (one, norm, first, _), (two, other, second, _) = sorted(heads, key=lambda item: item[2])
        if one is None or two is None or norm is not other or (first, second) != ([0], [1]):
            self.refuse(total, "a sum that is not of the heads of two class tokens")
        weight = np.concatenate([one[0], two[0]], axis=1) * factor
        return (weight, (one[1] + two[1]) * factor + float(answer.offset)), norm, [0, 1], "token"

    def _pooled(self, view: View) -> tuple[Norm, list[int], Pooling]:
        """What a head reads: rows of the last LayerNorm, their mean, or the LayerNorm of a mean."""
        if isinstance(view.base, Mean):
            self.whole(view, "a mean that is changed")
            source = view.base.source
            return self.norm(source, "a mean of something else than the last LayerNorm"), _rows(self, source), "mean"
        norm = self.norm(view, "the answer is not read behind a LayerNorm; the machine has one behind the last block")
        if isinstance(norm.source.base, Mean):
            mean = norm.source.base
            self.whole(norm.source, "a mean that is changed")
            return norm, _rows(self, mean.source), "mean_norm"
        return norm, [_rows(self, norm.source)[row] for row in _rows(self, view)], "token"


def _unscaled(walker: _Walker, view: View) -> Linear:
    """A linear layer with the factor of its view in its weights."""
    layer = view.base
    assert isinstance(layer, Linear)
    if not view.whole or not view.scalar:
        walker.refuse(layer, "only a part of it goes on, or it is scaled row by row")
    factor, offset = float(view.factor), float(view.offset)
    return Linear(
        layer.shape, layer.node, layer.output, layer.source, layer.weight * factor, layer.bias * factor + offset
    )


def _same_view(one: View, other: View) -> bool:
    """Whether two views of a base are the same tensor."""
    left, right = one.rows(), other.rows()

    def equal(a: Array, b: Array) -> bool:
        return np.array_equal(np.broadcast_to(a, left.shape), np.broadcast_to(b, left.shape))

    return left.shape == right.shape and all(
        equal(*pair) for pair in ((left.index, right.index), (left.factor, right.factor), (left.offset, right.offset))
    )


def _rows(walker: _Walker, view: View) -> list[int]:
    """Which rows of a tensor a view is."""
    wide = view.rows()
    columns = wide.shape[1]
    first = wide.index[:, :1]
    if not np.array_equal(wide.index, first + np.arange(columns)) or (first % columns).any() or not view.plain:
        walker.refuse(view.base, "what is read are no whole tokens")
    return [int(row) for row in first[:, 0] // columns]


def _columns(index: Array, shape: tuple[int, ...], order: tuple[int, int, int]) -> Array | None:
    """Columns [heads, width] of a token that an index [heads, tokens, width] reads, after its axes were put in order.

    ``shape`` of the tensor is [tokens, columns], or [heads, tokens, width], whose columns are counted head by head.
    None when tokens are not read in their order, or columns differ among them.
    """
    moved = index.transpose(order)  # [heads, tokens, width]
    if len(shape) == 3:
        _, tokens, width = shape
        head, rest = np.divmod(moved, tokens * width)
        row, column = rest // width, head * width + rest % width
    else:
        row, column = np.divmod(moved, shape[1])
    wanted = np.broadcast_to(np.arange(moved.shape[1])[None, :, None], moved.shape)
    if not np.array_equal(row, wanted) or (column != column[:, :1]).any():
        return None
    return column[:, 0]


def find_network(graph: Graph, answer: View) -> Found:
    """The vision transformer whose answer this is; CheckpointError names the node where it is none."""
    walker = _Walker(graph)
    head, norm, rows, pool = walker.head(answer)
    stream = norm.source
    if isinstance(stream.base, Mean):
        stream = stream.base.source
    whole = View(
        stream.base, np.arange(int(np.prod(stream.base.shape))).reshape(stream.base.shape), np.ones(()), np.zeros(())
    )
    start, blocks = walker.blocks(whole)
    patches, position, prefix = walker.tokens(start)
    tokens = list(range(len(position)))
    behind = {"token": rows == tokens or rows in ([0], [0, 1]), "mean": rows == tokens[prefix:]}
    if not behind.get(pool, rows == tokens[prefix:]):
        walker.refuse(
            norm, f"the answer reads the tokens {rows}, {prefix} of {len(tokens)} are in front of the patches"
        )
    features = pool == "token" and head is None and rows == tokens and len(tokens) > 1
    if pool == "token" and not features and len(rows) > prefix:
        walker.refuse(norm, "the answer reads a patch as if it were a class token")
    epsilons = set(walker.epsilons.values())
    if len(epsilons) != 1:
        walker.refuse(norm, f"epsilons of LayerNorms differ: {sorted(epsilons)}; the machine has one for all")
    distilled = rows == [0, 1] and head is not None
    class_token: ClassToken = "distilled" if distilled else "learned" if prefix else "none"
    return Found(
        patches=patches,
        position=position,
        blocks=blocks,
        norm=norm,
        head=head,
        class_token=class_token,
        registers=max(prefix - (2 if distilled else 1), 0),
        pool=pool,
        features=features,
        epsilon=epsilons.pop(),
    )
