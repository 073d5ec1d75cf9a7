"""Vision transformers exported as ONNX, by whomever: found in the graph, and compared with the graph itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.frontend.importers.expect import LEAST_DB, Agreement, Expected, compared, refuse_disagreement
from hwgen.frontend.importers.form import Form
from hwgen.frontend.importers.function import function_of
from hwgen.frontend.importers.imported import Imported, ImportOptions, PixelRule, backbone_config, fold_pixels
from hwgen.frontend.importers.onnx_graph.file import Graph, read_graph
from hwgen.frontend.importers.onnx_graph.network import Block, Found, find_network
from hwgen.frontend.importers.onnx_graph.rules import Reader
from hwgen.frontend.importers.pooled import mean_norm_arrays
from hwgen.frontend.importers.timm import DEFAULT_MEAN, DEFAULT_STD, FEATURES, TASK
from hwgen.frontend.importers.trial import trial_images
from hwgen.frontend.scaling import FloatArray
from hwgen.spec.constructors import POOL_NORM
from hwgen.spec.model import TaskConfig

SOURCE = "the graph"
_PARTS = ("activation", "norm order", "epsilon", "heads", "class token", "pooling", "qkv bias", "LayerScale")


class _Shape:
    """What `backbone_config` asks for."""

    def __init__(self, found: Found) -> None:
        self.dim, _, self.patch, _ = found.patches.weight.shape
        self.depth = len(found.blocks)
        self.mlp_hidden = len(found.blocks[0].arrays["fc1.weight"])


def _one(label: str, what: str, values: list[Any]) -> Any:
    """What all blocks have."""
    if len(set(values)) != 1:
        raise CheckpointError(f"{label}: blocks differ in {what}: {values}; the machine has one for all")
    return values[0]


def _task(found: Found, dim: int) -> tuple[TaskConfig, dict[str, FloatArray]]:
    """The task, and the arrays of its head: an identity where the graph has none."""
    if found.head is None:
        kind = "features" if found.features else "classification"
        task = TaskConfig(name=FEATURES, kind=kind, classes=dim)
        weight, bias = np.eye(dim), np.zeros(dim)
    else:
        weight, bias = found.head
        task = TaskConfig(name=TASK, kind="classification", classes=len(weight))
    return task, {f"heads.{task.name}.weight": weight, f"heads.{task.name}.bias": bias}


def _arrays(found: Found, pixels: PixelRule) -> dict[str, FloatArray]:
    """Every array but the head's, by the names of a float model."""
    weight, bias = fold_pixels(found.patches.weight, found.patches.bias, pixels.mean, pixels.std)
    arrays: dict[str, FloatArray] = {"patch_embed.weight": weight, "patch_embed.bias": bias}
    arrays["position"] = found.position
    if found.class_token != "none":
        arrays["class_token"] = np.zeros(found.position.shape[1])
    for index, block in enumerate(found.blocks):
        arrays |= {f"blocks.{index}.{name}": array for name, array in block.arrays.items()}
    last = POOL_NORM if found.pool == "mean_norm" else "norm"
    arrays[f"{last}.weight"], arrays[f"{last}.bias"] = found.norm.weight, found.norm.bias
    return arrays | (mean_norm_arrays(found.position.shape[1]) if found.pool == "mean_norm" else {})


def imported_graph(graph: Graph, options: ImportOptions) -> tuple[Imported, tuple[Block, ...]]:
    """The float model of a graph, and its blocks; CheckpointError names the node that the machine does not have."""
    found = find_network(graph, Reader(graph).read())
    shape = _Shape(found)
    form = Form(
        activation=_one(graph.label, "activation", [block.activation for block in found.blocks]),
        epsilon=float(f"{found.epsilon:.6g}"),  # a float32 in the file
        class_token=found.class_token,
        registers=found.registers,
        pool=found.pool,
        sources=dict.fromkeys(_PARTS, SOURCE),
    )
    heads = _one(graph.label, "heads", [block.heads for block in found.blocks])
    _one(graph.label, "hidden units", [len(block.arrays["fc1.weight"]) for block in found.blocks])
    options = replace(options, heads=heads)
    pixels = PixelRule(mean=options.mean or DEFAULT_MEAN, std=options.std or DEFAULT_STD)
    task, arrays = _task(found, shape.dim)
    config = backbone_config(options, shape, (graph.shape[2], graph.shape[3]), (task,), form)
    arrays |= _arrays(found, pixels)
    imported = Imported(
        config=config,
        arrays={name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()},
        notes=(f"task: {task.name!r}, {task.classes} values a row, from {graph.output}",),
        function=function_of(config, options, pixels, qkv_bias=True, layer_scales=0, said=form.sources),
        pixels=pixels,
        facts={"mean": list(pixels.mean), "std": list(pixels.std)},
    )
    return imported, found.blocks


def _agreement(graph: Graph, imported: Imported, blocks: tuple[Block, ...]) -> Agreement:
    """The float model against the graph; CheckpointError below `LEAST_DB`, with the first block that differs."""
    images, rule, config = trial_images(imported), imported.pixels, imported.config
    floats = ((images / rule.full - np.array(rule.mean)) / np.array(rule.std)).transpose(0, 3, 1, 2)
    answer, taps = graph.run(floats, [block.output for block in blocks])
    task = config.tasks[0]
    rows, tokens = config.result_rows(task), config.network.rows
    count = len(images)
    expected = Expected(
        label=SOURCE,
        sha256="",
        images=images,
        outputs={task.name: answer.astype(np.float64).reshape(count, rows, task.outputs)},
        taps={
            f"blocks.{index}": taps[block.output].astype(np.float64).reshape(count, tokens, -1)
            for index, block in enumerate(blocks)
        },
    )
    result = compared(imported, expected)
    refuse_disagreement(result, imported, graph.label, LEAST_DB)
    return result


def import_onnx(path: Path, options: ImportOptions) -> tuple[Imported, Agreement]:
    """The float model of an ONNX file, and how well it agrees with the file itself."""
    graph = read_graph(path, options.image_size)
    imported, blocks = imported_graph(graph, options)
    return imported, _agreement(graph, imported, blocks)
