"""Head codes to pictures: class maps, depth maps and class indices."""

import numpy as np
from numpy.typing import NDArray

from golden.rounding import Integers
from hwgen.spec.graph_model import Model
from hwgen.spec.model import TaskConfig
from hwgen.spec.tables import Int64Array


def _cells(config: Model, task: TaskConfig, codes: Integers) -> Int64Array:
    """Head codes [patches, outputs] as [sub-cell rows, sub-cell columns, classes] of the whole image."""
    codes = np.asarray(codes, dtype=np.int64)
    if task.kind not in ("segmentation", "depth") or codes.shape != (config.patches, task.outputs):
        raise ValueError(
            f"task {task.name} ({task.kind}) takes codes [{config.patches}, {task.outputs}] of a dense task,"
            f" got {list(codes.shape)}"
        )
    rows, columns, cell = config.patch_rows, config.patch_columns, task.cell
    split = codes.reshape(rows, columns, cell, cell, task.classes)
    return split.transpose(0, 2, 1, 3, 4).reshape(rows * cell, columns * cell, task.classes)


def _to_pixels(config: Model, task: TaskConfig, cells: Int64Array) -> Int64Array:
    """Sub-cells repeated to image size [H, W]."""
    if config.patch % task.cell:
        raise ValueError(f"task {task.name}: patch {config.patch} is not a multiple of cell {task.cell}")
    repeat = config.patch // task.cell
    return cells.repeat(repeat, axis=0).repeat(repeat, axis=1)


def class_map(config: Model, task: TaskConfig, codes: Integers) -> Int64Array:
    """Class index of every pixel [H, W]; ties to the lower class."""
    return _to_pixels(config, task, _cells(config, task, codes).argmax(axis=-1))


def depth_map(config: Model, task: TaskConfig, codes: Integers, scale: float) -> NDArray[np.float64]:
    """Depth of every pixel [H, W] in real units; ``scale`` is the real value of one code."""
    if task.classes != 1:
        raise ValueError(f"task {task.name}: a depth task has one value per sub-cell, got {task.classes}")
    return _to_pixels(config, task, _cells(config, task, codes)[..., 0]) * np.float64(scale)


def class_index(task: TaskConfig, codes: Integers) -> int:
    """Class of the whole image from the codes [1, classes] of a classification head; ties to the lower class."""
    codes = np.asarray(codes, dtype=np.int64)
    if task.kind != "classification" or codes.shape != (1, task.outputs):
        raise ValueError(f"task {task.name} ({task.kind}) takes codes [1, {task.outputs}], got {list(codes.shape)}")
    return int(codes[0].argmax())
