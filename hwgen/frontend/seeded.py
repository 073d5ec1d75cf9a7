"""Seeded random float weights for any network shape, with healthy activations and spread routing.

For shapes without trained weights: hardware does not care what the numbers mean, only that they look like a network's:
scores that prefer some keys, gates that use every expert, a residual that grows slowly. NumPy only.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from golden.reference.scenes import CALIBRATION_FIRST_SEED, draw_scene
from hwgen.frontend.calibration import Calibration, calibrate, equalise
from hwgen.frontend.layers.spread import FACES, Edges
from hwgen.frontend.quantise import quantise
from hwgen.frontend.scaling import FloatArray
from hwgen.spec.graph import Network
from hwgen.spec.graph_model import Model
from hwgen.spec.layers import Layer, Norm
from hwgen.spec.package import QuantisedModel

_CALIBRATION_TOKENS = 256  # rows that a seeded package is calibrated on, under every task
_MOST_IMAGES = 16
_STREAM = 0x5EED


def _drawn(network: Network) -> Iterator[Layer]:
    """The layers in the order of their numbers: that of the network, but norms two by two, a pair at its first."""
    norms = [layer for layer in network.layers if isinstance(layer, Norm)]
    pairs = {first.name: norms[at : at + 2] for at, first in enumerate(norms) if at % 2 == 0}
    for layer in network.layers:
        yield from pairs.get(layer.name, []) if isinstance(layer, Norm) else [layer]


def seeded_float(config: Model, seed: int = 0) -> dict[str, FloatArray]:
    """Float arrays (float32) of a network of this shape; the same seed gives the same numbers."""
    rng = np.random.default_rng((_STREAM, seed))
    edges = Edges(config.network)
    arrays: dict[str, FloatArray] = {}
    for layer in _drawn(config.network):
        spreads = FACES[type(layer)](edges, layer)
        for name, shape in layer.floats().items():
            mean, deviation = spreads[name]
            noise = rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
            arrays[name] = np.float32(mean) + noise if mean else noise
    return arrays


def calibration_images(config: Model, count: int) -> list[NDArray[np.uint8]]:
    """Scenes of the size of the network's image, from the calibration seeds; ValueError unless it has 3 channels."""
    if config.channels != 3:
        raise ValueError(f"{config.name}: scenes have 3 channels, the network takes {config.channels}")
    seeds = range(CALIBRATION_FIRST_SEED, CALIBRATION_FIRST_SEED + count)
    return [draw_scene(seed, height=config.image_height, width=config.image_width).image for seed in seeds]


def seeded_images(config: Model) -> int:
    """Number of calibration images of a seeded package: few large ones or more small ones."""
    return max(1, min(_MOST_IMAGES, _CALIBRATION_TOKENS // config.network.rows))


def seeded_calibrated(config: Model, seed: int = 0) -> tuple[dict[str, FloatArray], Calibration]:
    """Equalised seeded float arrays and their calibration."""
    arrays = seeded_float(config, seed)
    return equalise(arrays, config, calibrate(arrays, config, calibration_images(config, seeded_images(config))))


def seeded_package(config: Model, seed: int = 0) -> QuantisedModel:
    """A quantised network of this shape with seeded random weights."""
    arrays, calibration = seeded_calibrated(config, seed)
    source = {"weights": "seeded random", "seed": seed, "calibration_first_seed": CALIBRATION_FIRST_SEED}
    return quantise(arrays, config, calibration, provenance=source)
