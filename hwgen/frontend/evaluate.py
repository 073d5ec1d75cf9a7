"""How good predictions are: mean intersection over union, and root mean square error of depth.

Works on head outputs in any unit for segmentation, and in metres for depth; NumPy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.reference.m3vit_float import Arrays, FloatModel
from golden.reference.scenes import Scene
from hwgen.spec.model import ModelConfig, TaskConfig


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Quality of a segmentation and a depth prediction over a set of scenes."""

    miou: float  # mean over classes of the IoU pooled over all scenes, 0..1
    depth_rmse: float  # metres, pooled over all pixels
    depth_rmse_mean_predictor: float  # metres; of predicting the mean depth of these scenes everywhere


def to_pixels(output: NDArray[Any], config: ModelConfig, task: TaskConfig) -> NDArray[Any]:
    """Head outputs [patches, outputs] of a dense task as [height, width, classes]; a sub-cell covers its pixels."""
    rows, columns, cell = config.patch_rows, config.patch_columns, task.cell
    grid = output.reshape(rows, columns, cell, cell, task.classes).transpose(0, 2, 1, 3, 4)
    cells = grid.reshape(rows * cell, columns * cell, task.classes)
    repeat = config.patch // cell
    return cells.repeat(repeat, axis=0).repeat(repeat, axis=1)


def mean_iou(predicted: NDArray[Any], truth: NDArray[Any], classes: int) -> float:
    """Mean over the classes that occur of the IoU pooled over everything given; arrays of class indices."""
    confusion = np.bincount(truth.ravel().astype(np.int64) * classes + predicted.ravel(), minlength=classes * classes)
    confusion = confusion.reshape(classes, classes)
    hits = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
    return float((hits[union > 0] / union[union > 0]).mean())


def rmse(predicted: NDArray[Any], truth: NDArray[Any]) -> float:
    """Root mean square error over everything given."""
    return float(np.sqrt(np.square(predicted.astype(np.float64) - truth).mean()))


def quality(labels: NDArray[Any], depths: NDArray[Any], scenes: Sequence[Scene], classes: int) -> Quality:
    """Compare predicted labels and depths [scenes, height, width] with the scenes."""
    true_depths = np.stack([scene.depth for scene in scenes]).astype(np.float64)
    return Quality(
        miou=mean_iou(labels, np.stack([scene.segmentation for scene in scenes]), classes),
        depth_rmse=rmse(depths, true_depths),
        depth_rmse_mean_predictor=float(true_depths.std()),
    )


def float_quality(arrays: Arrays, config: ModelConfig, scenes: Sequence[Scene]) -> Quality:
    """Quality of a float model with the tasks ``seg`` and ``depth``."""
    model = FloatModel(arrays, config)
    seg, depth = config.task("seg"), config.task("depth")
    labels = [to_pixels(model.run(s.image, "seg")["heads.seg"], config, seg).argmax(axis=-1) for s in scenes]
    depths = [to_pixels(model.run(s.image, "depth")["heads.depth"], config, depth)[..., 0] for s in scenes]
    return quality(np.stack(labels), np.stack(depths), scenes, seg.classes)
