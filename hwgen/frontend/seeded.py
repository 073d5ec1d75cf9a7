"""Seeded random float weights for any network shape, with healthy activations and spread routing.

For shapes without trained weights: hardware does not care what the numbers mean, only that they look like a network's:
scores that prefer some keys, gates that use every expert, a residual that grows slowly. NumPy only.
"""

import math

import numpy as np
from numpy.typing import NDArray

from golden.reference.m3vit_float import float_arrays
from golden.reference.scenes import CALIBRATION_FIRST_SEED, draw_scene
from hwgen.frontend.calibration import Calibration, calibrate, equalise
from hwgen.frontend.quantise import quantise
from hwgen.frontend.scaling import FloatArray
from hwgen.spec.model import ModelConfig
from hwgen.spec.package import QuantisedModel

_CALIBRATION_TOKENS = 256  # rows that a seeded package is calibrated on, under every task
_MOST_IMAGES = 16
_STREAM = 0x5EED
_GATE_GAIN = 2.0  # standard deviation of gate logits when their input has unit variance
_ATTENTION_GAIN = 1.4  # of query and key, so that scores have a standard deviation of about two
_BIAS = 0.03  # standard deviation of biases: what all tokens share would send them all to the same experts
_NORM_SPREAD = 0.1  # standard deviation of LayerNorm weights around one
_POSITION = 1.0  # standard deviation of the position embedding and the class token


def _weight_deviation(name: str, shape: tuple[int, ...], config: ModelConfig) -> float:
    """Standard deviation of a weight [.., out, in] so that a unit-variance input gives the output wanted there."""
    unit = 1.0 / math.sqrt(shape[-1])
    if ".gate." in name:
        return _GATE_GAIN * unit
    if ".query." in name or ".key." in name:
        return _ATTENTION_GAIN * unit
    if ".proj." in name:
        return unit / math.sqrt(config.depth)
    if ".fc2." in name:
        return 2.0 * unit / math.sqrt(config.depth)
    return unit


def seeded_float(config: ModelConfig, seed: int = 0) -> dict[str, FloatArray]:
    """Float arrays (float32) of a network of this shape; the same seed gives the same numbers."""
    rng = np.random.default_rng((_STREAM, seed))
    arrays: dict[str, FloatArray] = {}
    for name, shape in float_arrays(config).items():
        noise = rng.standard_normal(shape, dtype=np.float32)
        if "norm" in name and name.endswith(".weight"):
            arrays[name] = 1.0 + _NORM_SPREAD * noise
        elif name.endswith(".weight"):
            arrays[name] = noise * np.float32(_weight_deviation(name, shape, config))
        else:
            arrays[name] = noise * np.float32(_POSITION if name in ("position", "class_token") else _BIAS)
    return arrays


def calibration_images(config: ModelConfig, count: int) -> list[NDArray[np.uint8]]:
    """Scenes of the size of the network's image, from the calibration seeds; ValueError unless it has 3 channels."""
    if config.channels != 3:
        raise ValueError(f"{config.name}: scenes have 3 channels, the network takes {config.channels}")
    seeds = range(CALIBRATION_FIRST_SEED, CALIBRATION_FIRST_SEED + count)
    return [draw_scene(seed, height=config.image_height, width=config.image_width).image for seed in seeds]


def seeded_images(config: ModelConfig) -> int:
    """Number of calibration images of a seeded package: few large ones or more small ones."""
    return max(1, min(_MOST_IMAGES, _CALIBRATION_TOKENS // config.tokens))


def seeded_calibrated(config: ModelConfig, seed: int = 0) -> tuple[dict[str, FloatArray], Calibration]:
    """Equalised seeded float arrays and their calibration."""
    arrays = seeded_float(config, seed)
    return equalise(arrays, config, calibrate(arrays, config, calibration_images(config, seeded_images(config))))


def seeded_package(config: ModelConfig, seed: int = 0) -> QuantisedModel:
    """A quantised network of this shape with seeded random weights."""
    arrays, calibration = seeded_calibrated(config, seed)
    source = {"weights": "seeded random", "seed": seed, "calibration_first_seed": CALIBRATION_FIRST_SEED}
    return quantise(arrays, config, calibration, provenance=source)
