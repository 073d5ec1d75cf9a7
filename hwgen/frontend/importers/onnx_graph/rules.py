"""What every node of a graph makes of its inputs, as views of computed tensors; what is not here is refused by name."""

# pyright: basic
# (nodes are protobuf messages)

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.frontend.importers.onnx_graph.file import Graph
from hwgen.frontend.importers.onnx_graph.values import (
    NONE,
    Array,
    Base,
    Context,
    Image,
    Linear,
    Mean,
    Norm,
    Patches,
    Pointwise,
    Probabilities,
    Scores,
    Sum,
    View,
    folded,
    view_of,
)

Value = View | Array
_MOVES = (
    "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather", "Flatten", "Expand", "Tile",
)  # fmt: skip
_SAME = ("Identity", "Dropout", "Cast")
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}
_FUNCTIONS = (
    "Erf", "Tanh", "Sigmoid", "Relu", "Gelu", "HardSwish", "HardSigmoid", "Swish", "Exp", "Neg", "Pow", "Sqrt", "Clip",
    "Elu", "Softplus", "LeakyRelu", "Mish", "Selu", "Abs", "Reciprocal", "Min", "Max",
)  # fmt: skip
_EPSILON = 1e-5  # of a LayerNormalization that does not say


@dataclass
class Reader:
    """The tensors of a graph so far."""

    graph: Graph
    values: dict[str, Value] = field(default_factory=dict[str, Value])

    def read(self) -> View:
        """The answer of the graph; CheckpointError names the first node that the machine does not have."""
        graph = self.graph
        self.values |= graph.constants
        image = Image(graph.shape, None, graph.image)
        self.values[graph.image] = view_of(image)
        for node in graph.nodes:
            found = self._guarded(node)
            self.values |= {name: value for name, value in zip(node.output, found, strict=False) if name}
        answer = self.values[graph.output]
        if not isinstance(answer, View):
            raise graph.refusal(graph.nodes[-1], "the answer does not depend on the image")
        return answer

    def _guarded(self, node: Any) -> list[Value]:
        """What a node makes; whatever goes wrong is a refusal that names it."""
        try:
            return self._node(node)
        except CheckpointError:
            raise
        except Exception as error:  # attributes and shapes that no rule expects
            raise self.refuse(node, f"cannot be understood ({error})") from error

    def _node(self, node: Any) -> list[Value]:
        """What a node makes."""
        operands = [self.values[name] if name else None for name in node.input]
        views = [operand for operand in operands if isinstance(operand, View)]
        if not views:
            return list(self.graph.compute(node, {name: self._constant(name) for name in node.input if name}))
        kind = node.op_type
        if kind in _SAME:
            return [views[0]]
        if kind in _MOVES:
            return self._moved(node, views)
        if kind == "Shape":
            return list(self.graph.compute(node, {node.input[0]: views[0].index}))
        if kind == "IsNaN":
            return [np.zeros(views[0].shape, dtype=bool)]
        if kind in _ARITHMETIC:
            return [self._arithmetic(node, operands)]
        if kind in _FUNCTIONS:
            return [self._function(node, operands)]
        rule = getattr(self, f"_{kind.lower()}", None)
        if rule is None:
            raise self.refuse(node, "no layer that the machine has")
        return [rule(node, operands)]

    def _constant(self, name: str) -> Array:
        """A tensor that no image changes."""
        return np.asarray(self.values[name])

    def refuse(self, node: Any, why: str) -> Exception:
        """A refusal that names the node."""
        return self.graph.refusal(node, why)

    def _moved(self, node: Any, views: list[View]) -> list[Value]:
        """Elements moved about: the node itself moves their indices."""
        if len(views) != 1 or not isinstance(self.values[node.input[0]], View):
            raise self.refuse(node, "where elements go depends on the image")
        view, others = views[0], {name: self._constant(name) for name in node.input[1:] if name}
        count = len(node.output)

        def move(array: Array, place: int) -> Array:
            return self.graph.compute(node, {node.input[0]: np.ascontiguousarray(array), **others})[place]

        return [view.moved(lambda array, place=place: move(array, place)) for place in range(count)]

    def _concat(self, node: Any, operands: list[Any]) -> View:
        """Parts of one base, and constants between them."""
        views = [operand for operand in operands if isinstance(operand, View)]
        base = views[0].base
        if any(view.base is not base for view in views):
            raise self.refuse(node, "joins tensors of different layers")
        axis = next(item.i for item in node.attribute if item.name == "axis")
        parts = [
            (item.index, np.broadcast_to(item.factor, item.shape), np.broadcast_to(item.offset, item.shape))
            if isinstance(item, View)
            else (np.full(np.shape(item), NONE), np.ones(np.shape(item)), item)
            for item in operands
        ]
        index, factor, offset = (np.concatenate(part, axis=axis) for part in zip(*parts, strict=True))
        return View(base, index, np.ones(()) if (factor == 1).all() else factor, offset)

    def _arithmetic(self, node: Any, operands: list[Any]) -> View:
        """Constants scale and shift; two functions of one tensor are another function of it; sums join branches."""
        left, right = operands
        kind = node.op_type
        if isinstance(left, View) and isinstance(right, View):
            together = self._together(node, left, right)
            if together is not None:
                return together
            if kind != "Add":
                raise self.refuse(node, f"{kind} of two layers, such as a gate")
            return self._sum(node, left, right)
        view, constant = (left, right) if isinstance(left, View) else (right, left)
        constant = np.asarray(constant, dtype=np.float64)
        if constant.size == 1:
            constant = constant.reshape(())
        one, zero = np.ones(()), np.zeros(())
        if kind == "Div" and view is right:
            return self._function(node, operands)
        changes = {
            "Add": (one, constant),
            "Sub": (one, -constant) if view is left else (-one, constant),
            "Mul": (constant, zero),
            "Div": (1.0 / constant if kind == "Div" else one, zero),
        }
        return folded(view.scaled(*changes[kind]))

    def _sum(self, node: Any, left: View, right: View) -> View:
        """Two branches joined."""
        if left.shape != right.shape:
            raise self.refuse(node, f"adds layers of shapes {list(left.shape)} and {list(right.shape)}")
        rows = left.rows().shape
        return view_of(Sum(rows, node, node.output[0], folded(left).rows(), folded(right).rows()), left.shape)

    def _together(self, node: Any, left: View, right: View) -> View | None:
        """Two functions of the same elements, combined; None when they are of different tensors."""
        (root, inner), (other, outer) = (_as_function(view) for view in (left, right))
        if root is not other or inner is None or outer is None or not np.array_equal(left.index, right.index):
            return None
        combine = _ARITHMETIC[node.op_type]
        base = Pointwise(root.shape, node, node.output[0], root, lambda x: combine(inner(x), outer(x)))
        return View(base, left.index, np.ones(()), np.zeros(()))

    def _function(self, node: Any, operands: list[Any]) -> View:
        """A function of one tensor; the node itself computes it."""
        views = [operand for operand in operands if isinstance(operand, View)]
        if len(views) != 1 or any(np.size(item) > 1 for item in operands if item is not None and item is not views[0]):
            raise self.refuse(node, f"{node.op_type} of more than one tensor")
        view = views[0]
        root, inner = _as_function(view)
        if inner is None:
            raise self.refuse(node, f"{node.op_type} of elements that are shifted one by one")
        place = next(name for name in node.input if name and self.values[name] is view)
        others = {name: np.asarray(self.values[name]) for name in node.input if name and name != place}

        def function(x: Array) -> Array:
            wide = {name: item.astype(np.float64) for name, item in others.items()}
            return self.graph.compute(node, {place: inner(x), **wide})[0]

        base = Pointwise(root.shape, node, node.output[0], root, function)
        return View(base, view.index, np.ones(()), np.zeros(()))

    def _matmul(self, node: Any, operands: list[Any]) -> View:
        """Linear layers, scores and contexts."""
        left, right = operands
        if isinstance(left, View) and isinstance(right, View):
            return self._attention(node, left, right)
        if not isinstance(left, View) or np.ndim(right) != 2:
            raise self.refuse(node, "a constant matrix on the left, or more than one on the right")
        return self._linear(node, left, np.asarray(right, dtype=np.float64).T, 0.0)

    def _linear(self, node: Any, view: View, weight: Array, bias: Any) -> View:
        source = folded(view).rows()
        outputs = len(weight)
        wide = np.broadcast_to(np.asarray(bias, dtype=np.float64), (outputs,))
        base = Linear((source.shape[0], outputs), node, node.output[0], source, weight, wide)
        return view_of(base, (*view.shape[:-1], outputs))

    def _gemm(self, node: Any, operands: list[Any]) -> View:
        """A linear layer with its bias."""
        given = {item.name: item.f if item.name in ("alpha", "beta") else item.i for item in node.attribute}
        left, right, bias = _three(operands)
        if not isinstance(left, View) or isinstance(right, View) or isinstance(bias, View) or given.get("transA"):
            raise self.refuse(node, "a product of two layers")
        weight = np.asarray(right, dtype=np.float64) * given.get("alpha", 1.0)
        scaled = 0.0 if bias is None else np.asarray(bias, dtype=np.float64).reshape(-1) * given.get("beta", 1.0)
        return self._linear(node, left, weight if given.get("transB") else weight.T, scaled)

    def _conv(self, node: Any, operands: list[Any]) -> View:
        """The patch embedding: a convolution whose kernels touch and do not overlap."""
        view, weight, bias = _three(operands)
        given = {item.name: list(item.ints) or item.i for item in node.attribute}
        side = list(np.shape(weight)[2:])
        plain = (
            not any(given.get("pads", [])) and given.get("group", 1) == 1 and set(given.get("dilations", [1])) == {1}
        )
        if not isinstance(view.base, Image) or not view.whole or not plain:
            raise self.refuse(node, "a convolution that is no embedding of whole patches")
        if side[0] != side[1] or any(size % side[0] for size in view.shape[2:]):
            raise self.refuse(node, f"patches of {side} pixels on images of {list(view.shape[2:])}")
        colours = [np.broadcast_to(part, view.shape).reshape(view.shape[1], -1) for part in (view.factor, view.offset)]
        if any((part != part[:, :1]).any() for part in colours):
            raise self.refuse(node, "pixels that are normalised one by one")
        factor, offset = (part[:, 0][None, :, None, None] for part in colours)
        wide = np.asarray(weight, dtype=np.float64)
        shift = (wide * offset).sum(axis=(1, 2, 3)) + (0.0 if bias is None else np.asarray(bias, dtype=np.float64))
        grid = (view.shape[2] // side[0], view.shape[3] // side[0])
        dim = len(wide)
        base = Patches((grid[0] * grid[1], dim), node, node.output[0], wide * factor, shift, grid)
        return view_of(base, (*grid, dim)).moved(lambda array: array.transpose(2, 0, 1)[None])

    def _layernormalization(self, node: Any, operands: list[Any]) -> View:
        """LayerNorm of the last axis."""
        view, weight, bias = _three(operands)
        given = {item.name: item for item in node.attribute}
        axis = given["axis"].i if "axis" in given else -1
        if axis not in (-1, len(view.shape) - 1):
            raise self.refuse(node, "normalises more than the channels of a token")
        source = view.rows()
        columns = source.shape[1]
        base = Norm(
            source.shape,
            node,
            node.output[0],
            source,
            np.asarray(weight, dtype=np.float64),
            np.zeros(columns) if bias is None else np.asarray(bias, dtype=np.float64),
            given["epsilon"].f if "epsilon" in given else _EPSILON,
        )
        return view_of(base, view.shape)

    def _attention(self, node: Any, left: View, right: View) -> View:
        """Products of two layers: queries and keys, or probabilities and values."""
        a, b = (view.moved(lambda array: array.reshape(-1, *array.shape[-2:])) for view in (left, right))
        shape = (*left.shape[:-1], right.shape[-1])
        if isinstance(left.base, Probabilities):
            if not (a.whole and a.plain):
                raise self.refuse(node, "probabilities that are changed behind the softmax")
            base: Base = Context((*a.shape[:2], b.shape[2]), node, node.output[0], left.base, b)
        elif isinstance(left.base, Linear) and isinstance(right.base, Linear):
            base = Scores((*a.shape[:2], b.shape[2]), node, node.output[0], a, b)
        else:
            raise self.refuse(node, "a product of two layers that are no queries and keys, such as normalised ones")
        return view_of(base, shape)

    def _softmax(self, node: Any, operands: list[Any]) -> View:
        """Probabilities of scores."""
        view = operands[0]
        axis = next((item.i for item in node.attribute if item.name == "axis"), -1)
        if not isinstance(view.base, Scores) or not view.whole or axis not in (-1, len(view.shape) - 1):
            raise self.refuse(node, "softmax of something else than scores of attention")
        if (view.offset != 0).any():
            raise self.refuse(node, "scores with something added, such as a mask or a relative position bias")
        if view.factor.size != 1:
            raise self.refuse(node, "scores that are scaled one by one")
        base = Probabilities(view.base.shape, node, node.output[0], view.base, float(view.factor))
        return view_of(base, view.shape)

    def _where(self, node: Any, operands: list[Any]) -> View:
        """A choice that no image changes."""
        condition, yes, no = operands
        chosen = yes if np.all(condition) else no
        if isinstance(condition, View) or np.any(condition) != np.all(condition) or not isinstance(chosen, View):
            raise self.refuse(node, "a choice that depends on the image, or a mask")
        return chosen

    def _reducemean(self, node: Any, operands: list[Any]) -> View:
        """The mean of tokens."""
        view = operands[0]
        given = {item.name: list(item.ints) or item.i for item in node.attribute}
        axes = given.get("axes") or ([int(x) for x in operands[1]] if len(operands) > 1 else [])
        tokens = len(view.shape) - 2
        if [axis % len(view.shape) for axis in axes] != [tokens] or any(size != 1 for size in view.shape[:tokens]):
            raise self.refuse(node, "a mean of something else than tokens; export with opset 17 or newer")
        source = view.rows()
        shape = list(view.shape)
        shape[tokens] = 1
        if not given.get("keepdims", 1):
            del shape[tokens]
        return view_of(Mean((1, source.shape[1]), node, node.output[0], source), tuple(shape))


def _three(operands: list[Any]) -> tuple[Any, Any, Any]:
    """Input, weight and bias; None where there is no bias."""
    found = [*operands, None]
    return found[0], found[1], found[2]


def _as_function(view: View) -> tuple[Base, Callable[[Array], Array] | None]:
    """The tensor of whose elements a view is a function, and the function; None when it differs among them."""
    base = view.base
    if not view.scalar:
        return base, None
    factor, offset = float(view.factor), float(view.offset)
    if isinstance(base, Pointwise):
        function = base.function
        return base.source, lambda x: factor * function(x) + offset
    return base, lambda x: factor * x + offset
