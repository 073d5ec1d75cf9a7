"""How good predictions are: mean intersection over union, and root mean square error of depth.

``python -m hwgen.frontend.evaluate`` compares the shipped float and quantised models on held-out scenes. NumPy only.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.network import run_network
from golden.reference.m3vit_float import Arrays, FloatModel
from golden.reference.scenes import HELD_OUT_FIRST_SEED, Scene, draw_scenes
from hwgen.frontend.store import load_float, load_model
from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.spec.package import QuantisedModel

Head = Callable[[NDArray[np.uint8], str], NDArray[Any]]  # image, task -> outputs [patches, outputs] in real units


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


def _scored(head: Head, config: ModelConfig, scenes: Sequence[Scene]) -> Quality:
    """Quality of a network with the tasks ``seg`` and ``depth``, given its head outputs for an image and a task."""
    seg, depth = config.task("seg"), config.task("depth")
    labels = [to_pixels(head(scene.image, "seg"), config, seg).argmax(axis=-1) for scene in scenes]
    depths = [to_pixels(head(scene.image, "depth"), config, depth)[..., 0] for scene in scenes]
    return quality(np.stack(labels), np.stack(depths), scenes, seg.classes)


def float_quality(arrays: Arrays, config: ModelConfig, scenes: Sequence[Scene]) -> Quality:
    """Quality of a float model with the tasks ``seg`` and ``depth``."""
    model = FloatModel(arrays, config)
    return _scored(lambda image, task: model.run(image, task)[f"heads.{task}"], config, scenes)


def integer_quality(package: QuantisedModel, scenes: Sequence[Scene]) -> Quality:
    """Quality of a quantised model with the tasks ``seg`` and ``depth``, run by the golden model."""

    def head(image: NDArray[np.uint8], task: str) -> NDArray[Any]:
        return run_network(package, image, task)[f"heads.{task}"] * package.scales[f"heads.{task}"]

    return _scored(head, package.config, scenes)


def main() -> None:
    """Print the quality of the shipped float and quantised models."""
    parser = argparse.ArgumentParser(description="Quality of m3vit-micro on held-out scenes, float and quantised.")
    parser.add_argument("--scenes", type=int, default=200)
    count: int = parser.parse_args().scenes
    scenes = draw_scenes(range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + count))
    package = load_model("m3vit-micro")
    real = float_quality(load_float("m3vit-micro"), package.config, scenes)
    integer = integer_quality(package, scenes)
    print(f"{count} held-out scenes, predicting the mean depth: RMSE {real.depth_rmse_mean_predictor:.4f} m")
    print(f"float      mIoU {real.miou:.4f}  depth RMSE {real.depth_rmse:.4f} m")
    print(f"quantised  mIoU {integer.miou:.4f}  depth RMSE {integer.depth_rmse:.4f} m")
    loss, growth = 100 * (real.miou - integer.miou), 100 * (integer.depth_rmse / real.depth_rmse - 1)
    print(f"loss       {loss:.2f} points of mIoU, {growth:.2f} % of RMSE")


if __name__ == "__main__":
    main()
