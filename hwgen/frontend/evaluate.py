"""How good predictions are: mean intersection over union, and root mean square error of depth. NumPy only.

A network is scored on the tasks for which the scenes of `golden.reference.scenes` have labels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.network import run_network
from golden.reference.m3vit_float import Arrays, FloatModel
from golden.reference.scenes import CLASS_NAMES, Scene
from hwgen.spec.graph_model import Model
from hwgen.spec.model import TaskConfig
from hwgen.spec.package import QuantisedModel

Head = Callable[[int, str], NDArray[Any]]  # index of the scene, task -> outputs [patches, outputs] in real units


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Quality of the predictions over a set of scenes; None for what the network does not predict."""

    miou: float | None  # mean over classes of the IoU pooled over all scenes, 0..1
    depth_rmse: float | None  # metres, pooled over all pixels
    depth_rmse_mean_predictor: float  # metres; of predicting the mean depth of these scenes everywhere


def scored_tasks(config: Model) -> tuple[TaskConfig | None, TaskConfig | None]:
    """(segmentation, depth): the first task of each kind whose outputs the labels of the scenes fit."""
    wanted = (("segmentation", len(CLASS_NAMES)), ("depth", 1))
    found = (next((t for t in config.tasks if (t.kind, t.classes) == pair), None) for pair in wanted)
    segmentation, depth = found
    return segmentation, depth


def to_pixels(output: NDArray[Any], config: Model, task: TaskConfig) -> NDArray[Any]:
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


def scored(head: Head, config: Model, scenes: Sequence[Scene]) -> Quality:
    """Quality of a network, given its head outputs for every scene under the tasks that are scored."""
    segmentation, depth = scored_tasks(config)
    numbers = range(len(scenes))
    true_depths = np.stack([scene.depth for scene in scenes]).astype(np.float64)
    miou = depth_rmse = None
    if segmentation is not None:
        labels = [to_pixels(head(n, segmentation.name), config, segmentation).argmax(axis=-1) for n in numbers]
        truth = np.stack([scene.segmentation for scene in scenes])
        miou = mean_iou(np.stack(labels), truth, segmentation.classes)
    if depth is not None:
        depths = [to_pixels(head(n, depth.name), config, depth)[..., 0] for n in numbers]
        depth_rmse = rmse(np.stack(depths), true_depths)
    return Quality(miou=miou, depth_rmse=depth_rmse, depth_rmse_mean_predictor=float(true_depths.std()))


def float_quality(arrays: Arrays, config: Model, scenes: Sequence[Scene]) -> Quality:
    """Quality of a float model."""
    model = FloatModel(arrays, config)

    def head(scene: int, task: str) -> NDArray[Any]:
        return model.run(scenes[scene].image, task)[config.network.result(task).writes]

    return scored(head, config, scenes)


def integer_quality(package: QuantisedModel, scenes: Sequence[Scene]) -> Quality:
    """Quality of a quantised model, run by the golden model."""

    def head(scene: int, task: str) -> NDArray[Any]:
        result = package.config.network.result(task).writes
        return run_network(package, scenes[scene].image, task)[result] * package.scales[result]

    return scored(head, package.config, scenes)
