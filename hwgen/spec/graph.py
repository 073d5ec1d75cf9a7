"""A network as a list of layers: what each reads and leaves, checked when it is made."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from hwgen.spec.array_kinds import Specs
from hwgen.spec.layers import Experts, Floats, Gelu, Layer, Linear, Patches, Position, Result, Rows, Tensor
from hwgen.spec.layers.linear import Part
from hwgen.spec.weight_formats import WeightFormat

RESERVED = ("tables.", "program.")  # what else lies in packages and images


class GraphError(ValueError):
    """A list of layers that is no network; the message names the layer and the tensor."""


@dataclass(frozen=True, kw_only=True)
class LinearInfo:
    """A linear layer by the prefix of its arrays; the experts of a block are one layer of a stack of weights."""

    name: str
    part: Part
    inputs: int
    outputs: int
    format: WeightFormat
    layer: Layer


@dataclass(frozen=True)
class Network:
    """Layers in the order in which the machine runs them. Each tensor is written once on the walk of any one task."""

    layers: tuple[Layer, ...]
    tasks: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse layers that read what nobody has written, or rows and columns that are not there."""
        self._check_names()
        _ = self.activation  # there is one
        for task in self.tasks:
            self._check(task)

    def walk(self, task: str) -> Iterator[Layer]:
        """The layers that a task runs, in order."""
        return (layer for layer in self.layers if layer.task in (None, task))

    def tensors(self, task: str) -> dict[str, Tensor]:
        """Name -> tensor, in the order in which the walk of a task leaves them."""
        return {tensor.name: tensor for layer in self.walk(task) for tensor in layer.tensors()}

    def writer(self, tensor: str, task: str) -> Layer:
        """The layer that leaves a tensor on the walk of a task; GraphError when none does."""
        found = self._edges[task].writers.get(tensor)
        if found is None:
            raise GraphError(f"task {task}: no layer writes {tensor}")
        return found

    def result(self, task: str) -> Linear:
        """The layer whose sums are the result of a task; GraphError unless there is one."""
        found = [item for item in self.walk(task) if isinstance(item, Linear) and isinstance(item.finish, Result)]
        if len(found) != 1:
            raise GraphError(f"task {task}: {len(found)} layers make a result, a task has one")
        return found[0]

    def readers(self, tensor: str, task: str) -> list[Layer]:
        """The layers that read any of a tensor on the walk of a task, in order."""
        return self._edges[task].readers.get(tensor, [])

    @cached_property
    def _edges(self) -> "dict[str, _Edges]":
        """Of every task: found once, because long networks ask for them layer by layer."""
        return {task: _Edges.of(self.walk(task)) for task in self.tasks}

    @cached_property
    def image(self) -> Patches:
        """The layer that takes the image; GraphError unless there is one."""
        found = [layer for layer in self.layers if isinstance(layer, Patches)]
        if len(found) != 1:
            raise GraphError(f"{len(found)} layers cut the image into patches, a network has one")
        return found[0]

    @cached_property
    def arrays(self) -> Specs:
        """Every array of every layer, in the order of the layers."""
        return {name: spec for layer in self.layers for name, spec in layer.arrays().items()}

    @cached_property
    def floats(self) -> Floats:
        """Every array of a float model, in the order of the layers."""
        return {name: shape for layer in self.layers for name, shape in layer.floats().items()}

    @cached_property
    def activation(self) -> str:
        """What follows the first layer of its MLPs and experts; GELU where it has none. GraphError when they differ."""
        found: dict[str, str] = {}
        for layer in self.layers:
            if isinstance(layer, Experts):
                found.setdefault(layer.activation, layer.name)
            elif isinstance(layer, Linear) and isinstance(layer.finish, Gelu):
                found.setdefault(layer.finish.function, layer.name)
        if len(found) > 1:
            (one, first), (other, second), *_ = found.items()
            raise GraphError(f"{second}: {other}, and {first} has {one}; the machine has one table for all of them")
        return next(iter(found), "gelu")

    @property
    def rows(self) -> int:
        """Rows of its residual stream, the longest where there are several."""
        return max(layer.rows for layer in self.layers if isinstance(layer, Position))

    @cached_property
    def linears(self) -> dict[str, LinearInfo]:
        """Every linear layer by the prefix of its arrays, in order."""
        found: dict[str, LinearInfo] = {}
        for layer in self.layers:
            for item in _linears_of(layer):
                found[item.name] = item
        return found

    def _check_names(self) -> None:
        """What has one name is one thing: a layer, whatever its task, and every array."""
        layers: dict[str, Layer] = {}
        owners: dict[str, str] = {}
        for layer in self.layers:
            if layer.task is not None and layer.task not in self.tasks:
                raise GraphError(f"{layer.name}: task {layer.task} is none of {', '.join(self.tasks)}")
            if isinstance(layer, Linear) and isinstance(layer.finish, Result) and layer.task is None:
                raise GraphError(f"{layer.name}: makes a result; give the task that it belongs to")
            if layer.name.startswith(RESERVED):
                raise GraphError(f"{layer.name}: names that begin with {' or '.join(RESERVED)} are taken")
            plain = replace(layer, task=None)
            if layers.setdefault(layer.name, plain) != plain:
                raise GraphError(f"{layer.name}: two tasks have different layers of this name")
            for array in (*layer.arrays(), *layer.floats()):
                if owners.setdefault(array, layer.name) != layer.name:
                    raise GraphError(f"{layer.name}: its array {array} is that of {owners[array]}; rename one of them")

    def _check(self, task: str) -> None:
        written: dict[str, Tensor] = {}
        changed: dict[str, Layer] = {}  # residual streams that are no longer what they were
        names = set[str]()
        inside: dict[str, str] = {}  # names that a layer uses inside -> layer
        for layer in self.walk(task):
            if layer.name in names:
                raise GraphError(f"{layer.name}: two layers of task {task} have this name")
            names.add(layer.name)
            for rows in layer.reads():
                _check_rows(layer, rows, written)
                if rows.tensor in changed:
                    by = changed[rows.tensor].name
                    raise GraphError(f"{layer.name}: reads {rows.tensor}, which {by} has changed in place")
            _check_sizes(layer, written)
            _check_stream(layer, written, changed)
            for tensor in layer.tensors():
                if tensor.name in inside:
                    raise GraphError(f"{layer.name}: writes {tensor.name}, which {inside[tensor.name]} uses inside")
                if tensor.name in written:
                    raise GraphError(f"{layer.name}: writes {tensor.name}, which a layer before it has written")
                written[tensor.name] = tensor
            for name in layer.inner():
                if name in written or inside.setdefault(name, layer.name) != layer.name:
                    raise GraphError(f"{layer.name}: uses {name} inside, which another layer has")
        result = self.result(task)
        for layer in self.walk(task):
            if layer is not result and not self.readers(layer.writes, task):
                raise GraphError(f"{layer.name}: nobody reads {layer.writes} under task {task}")


@dataclass(frozen=True)
class _Edges:
    """Who leaves a tensor, and who reads it."""

    writers: dict[str, Layer]
    readers: dict[str, list[Layer]]

    @classmethod
    def of(cls, layers: Iterator[Layer]) -> "_Edges":
        edges = cls({}, {})
        for layer in layers:
            edges.writers.update((tensor.name, layer) for tensor in layer.tensors())
            for name in dict.fromkeys(rows.tensor for rows in layer.reads()):
                edges.readers.setdefault(name, []).append(layer)
        return edges


def _linears_of(layer: Layer) -> Iterator[LinearInfo]:
    """The linear layers inside a layer."""
    if isinstance(layer, Linear):
        yield LinearInfo(
            name=layer.name,
            part=layer.part,
            inputs=layer.inputs,
            outputs=layer.outputs,
            format=layer.format,
            layer=layer,
        )
    if isinstance(layer, Experts):
        widths = ((layer.columns, layer.hidden), (layer.hidden, layer.columns))
        for (name, form), (inputs, outputs) in zip(layer.formats().items(), widths, strict=True):
            yield LinearInfo(name=name, part="experts", inputs=inputs, outputs=outputs, format=form, layer=layer)


def _check_rows(layer: Layer, rows: Rows, written: dict[str, Tensor]) -> None:
    if rows.tensor not in written:
        raise GraphError(f"{layer.name}: reads {rows.tensor}, which no layer before it writes")
    there = written[rows.tensor].rows
    if not 0 <= rows.first < there or (rows.count is not None and not 1 <= rows.count <= there - rows.first):
        last = "" if rows.count is None else f"..{rows.first + rows.count - 1}"
        raise GraphError(f"{layer.name}: reads rows {rows.first}{last} of {rows.tensor}, which has {there}")


def _check_sizes(layer: Layer, written: dict[str, Tensor]) -> None:
    """Rows and columns of what a layer reads are those that it counts on."""
    for rows, (count, columns) in layer.wants().items():
        there = written[rows.tensor]
        if there.columns != columns:
            raise GraphError(f"{layer.name}: takes {columns} columns of {rows.tensor}, which has {there.columns}")
        read = there.rows - rows.first if rows.count is None else rows.count
        if read != count:
            raise GraphError(f"{layer.name}: works on {count} rows and reads {read} of {rows.tensor}")


def _check_stream(layer: Layer, written: dict[str, Tensor], changed: dict[str, Layer]) -> None:
    """What is changed in place is a stream of its kind, whole behind the layer."""
    into = layer.updates()
    if into is None:
        return
    before, behind = written[into.tensor], layer.tensors()[0]
    if before.shape != behind.shape:
        raise GraphError(f"{layer.name}: leaves {list(behind.shape)} of {into.tensor}, which is {list(before.shape)}")
    changed[into.tensor] = layer
