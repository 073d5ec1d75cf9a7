"""Calibration: run a float model on images under every task and keep what its tensors look like."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from golden.reference.layers.patches import pixel_rows
from golden.reference.m3vit_float import Arrays, FloatModel
from hwgen.frontend.equalisation import norms_of
from hwgen.frontend.layers.observe import Collector
from hwgen.frontend.scaling import Array, FloatArray
from hwgen.spec.graph_model import Model
from hwgen.spec.layers import Linear, Position
from hwgen.spec.numerics import DARKEST_PIXEL

IMPORTED_STRENGTH = 0.7  # of the equalisation of networks trained elsewhere: docs/numerics.md, "What the formats cost"
_FACTOR_FLOOR = 1e-3  # smallest equalisation factor relative to the largest of the same LayerNorm


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a float model's tensors look like over the calibration images and all tasks."""

    images: int  # images observed, each under every task
    samples: dict[str, Array]  # rows [n, channels] of each int8 tensor, float32
    residual_max: float  # largest magnitude in the residual stream, of what is added to it, and of expert outputs
    head_max: dict[str, float]  # largest output magnitude per task
    score_min: dict[str, FloatArray]  # per attention layer: smallest q.k of each head
    score_max: dict[str, FloatArray]  # ... and largest
    means: dict[str, FloatArray] = field(default_factory=dict[str, FloatArray])  # mean input [.., in] of a linear layer
    # that does not see every row of a sampled tensor: patch_embed, heads, and the layers of experts [experts, in]


def calibrate(arrays: Arrays, config: Model, images: Sequence[NDArray[np.uint8]]) -> Calibration:
    """Observe the model on every image under every task, pixels as the machine sees them; ValueError without images."""
    if not images:
        raise ValueError(f"{config.name}: calibration needs at least one image")
    model = FloatModel(arrays, config, details=True)
    collector = Collector(config.network)
    layers = config.network.layers
    patches = config.network.image
    embeddings = [item for item in layers if isinstance(item, Linear) and item.source.tensor == patches.writes]
    for image in (np.maximum(image, DARKEST_PIXEL) for image in images):
        for layer in embeddings:
            collector.add_rows(layer.name, pixel_rows(image, patches))
        for task in config.tasks:
            collector.add(model.run(image, task.name), task.name)
    for layer in layers:
        if isinstance(layer, Position):
            collector.add_to_residual(arrays[layer.name])
    return Calibration(
        images=len(images),
        samples={name: np.concatenate(rows) for name, rows in collector.samples.items()},
        residual_max=collector.residual_max,
        head_max=dict(collector.head_max),
        score_min=collector.score_min,
        score_max=collector.score_max,
        means=collector.means,
    )


def equalise(
    arrays: Arrays, config: Model, calibration: Calibration, strength: float = 1.0
) -> tuple[dict[str, FloatArray], Calibration]:
    """The same function with the output channels of every LayerNorm spanning ranges that are closer together.

    A factor divides the LayerNorm's weight and bias of a channel and multiplies the columns of every weight that reads
    it (all experts and all tasks' gates or heads): the channel's range in the calibration, relative to the geometric
    mean of the LayerNorm's channels, to the power of ``strength``. With 1 all channels span the same range; with less,
    they do not, and the columns of the weights differ less, which have one step a row. Where plain codes go to a mean,
    no weight pays for it: there it is 1.
    Returns float32 arrays, and what the calibration would have found with them.
    """
    equal = {name: np.array(array, dtype=np.float64) for name, array in arrays.items()}
    samples, means = dict(calibration.samples), dict(calibration.means)
    for norm, reach in norms_of(config).items():
        spans = np.abs(samples[norm.writes]).max(axis=0).astype(np.float64)
        spans = np.maximum(spans, max(float(spans.max()) * _FACTOR_FLOOR, 1e-30))
        factors = (spans / np.exp(np.log(spans).mean())) ** (1.0 if norm.plain else strength)
        for tensor in (norm.writes, *reach.tensors):
            samples[tensor] = (samples[tensor] / factors).astype(np.float32)
        equal[f"{norm.name}.weight"] /= factors
        equal[f"{norm.name}.bias"] /= factors
        for reader, times in reach.weights.items():
            columns = np.tile(factors, times)
            equal[f"{reader}.weight"] *= columns
            if reader in means:
                means[reader] = means[reader] / columns
    seen = replace(calibration, samples=samples, means=means)
    return {name: array.astype(np.float32) for name, array in equal.items()}, seen
