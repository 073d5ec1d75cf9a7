"""An ONNX file: its nodes in order, its constants, one node computed at a time, and the whole graph as float truth."""

# pyright: basic
# (onnx is only partly typed)

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.process.install import install_hint

Array = NDArray[Any]


def onnx_module() -> Any:
    """The package onnx; CheckpointError says how to get it."""
    try:
        import onnx  # here: only this importer needs it
        import onnx.inliner
        import onnx.reference
    except ImportError as error:
        raise CheckpointError(f"reading ONNX files needs the package onnx: {install_hint('onnx')}") from error
    return onnx


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A graph with one image as input.

    label: what messages call it. model: the proto, functions inlined. image: name of the input, ``shape`` its
    [1, channels, height, width]. output: name of the tensor that is the answer. constants: initializers by name.
    """

    label: str
    model: Any
    image: str
    shape: tuple[int, int, int, int]
    output: str
    constants: Mapping[str, Array]

    @property
    def nodes(self) -> list[Any]:
        """The nodes that the answer needs, in order."""
        wanted, found = {self.output}, list[Any]()
        for node in reversed(self.model.graph.node):
            if wanted & set(node.output):
                wanted |= set(node.input)
                found.append(node)
        return found[::-1]

    def refusal(self, node: Any, why: str) -> CheckpointError:
        """For a node that is none of the machine's; names it and what it reads."""
        inputs = ", ".join(name or "(none)" for name in node.input)
        return CheckpointError(f"{self.label}: node {node.name or '(unnamed)'} ({node.op_type} of {inputs}): {why}")

    def compute(self, node: Any, feeds: Mapping[str, Array]) -> list[Array]:
        """One node on arrays."""
        onnx = onnx_module()
        names = [name for name in dict.fromkeys(node.input) if name]
        graph = onnx.helper.make_graph(
            [node],
            "one",
            [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in names],
            [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in node.output if name],
        )
        model = onnx.helper.make_model(graph, opset_imports=self.model.opset_import)
        try:
            return onnx.reference.ReferenceEvaluator(model).run(None, {name: feeds[name] for name in names})
        except Exception as error:  # the evaluator raises whatever its NumPy does
            raise self.refusal(node, f"cannot be computed ({error})") from error

    def run(self, images: Array, extra: list[str]) -> tuple[Array, dict[str, Array]]:
        """The answer and some other tensors for normalised float32 images, one at a time, stacked."""
        onnx = onnx_module()
        wide = onnx.ModelProto()
        wide.CopyFrom(self.model)
        del wide.graph.output[:]
        names = [self.output, *extra]
        wide.graph.output.extend(onnx.helper.make_value_info(name, onnx.TypeProto()) for name in names)
        evaluator = onnx.reference.ReferenceEvaluator(wide)
        runs = [evaluator.run(names, {self.image: image[None].astype(np.float32)}) for image in images]
        stacked = [np.concatenate([np.asarray(run[place]) for run in runs]) for place in range(len(names))]
        return stacked[0], dict(zip(extra, stacked[1:], strict=True))


def read_graph(path: Path, image_size: tuple[int, int] | None, output: str | None = None) -> Graph:
    """The graph of a file; CheckpointError unless it takes one batch of images."""
    onnx = onnx_module()
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
        model = onnx.inliner.inline_local_functions(model)
    except Exception as error:  # protobuf, checker and file errors of many types
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(f"{path}: no readable ONNX file ({reason[0]})") from error
    label = str(path)
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in constants]
    if len(inputs) != 1:
        raise CheckpointError(f"{label}: has the inputs {[item.name for item in inputs]}, expected one: the images")
    outputs = [item.name for item in model.graph.output]
    if output is not None and output not in outputs:
        raise CheckpointError(f"{label}: --output {output}: there are {', '.join(outputs)}")
    return Graph(
        label=label,
        model=model,
        image=inputs[0].name,
        shape=_shape(label, inputs[0], image_size),
        output=output or outputs[0],
        constants=constants,
    )


def _shape(label: str, entry: Any, image_size: tuple[int, int] | None) -> tuple[int, int, int, int]:
    """[1, channels, height, width] of the input; sizes that the file leaves open are the user's."""
    sides = [side.dim_value for side in entry.type.tensor_type.shape.dim]
    if len(sides) != 4 or sides[1] != 3:
        raise CheckpointError(f"{label}: input {entry.name} has shape {sides}, expected [batch, 3, height, width]")
    height, width = sides[2:]
    if image_size is not None:
        if any(side not in (0, own) for side, own in zip((height, width), image_size, strict=True)):
            raise CheckpointError(
                f"{label}: --image-size {image_size[0]}x{image_size[1]}: the graph takes {height}x{width}; export it"
                " for the size that is wanted"
            )
        height, width = image_size
    if not height or not width:
        raise CheckpointError(f"{label}: --image-size HxW is needed: the graph leaves open which images it takes")
    return 1, 3, height, width
