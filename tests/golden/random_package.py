"""Random quantised models with sensible scales: activations neither constant nor all saturated."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.array_kinds import Specs, zero_array
from hwgen.spec.graph import Network
from hwgen.spec.layers import (
    Attention,
    Codes,
    Experts,
    Gate,
    Gelu,
    Layer,
    Linear,
    Norm,
    Pool,
    Position,
    Residual,
    Result,
)
from hwgen.spec.layers.linear import Finish
from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.spec.package import QuantisedModel
from hwgen.spec.tables import default_tables
from hwgen.spec.weight_formats import PACKED4, WeightFormat

WEIGHT = 40  # standard deviation of weight codes
NARROW_WEIGHT = 3  # ... of four bits
ACTIVATION = 35  # of activation codes
PIXEL = 73  # of centred uniform pixels
GELU_FACTOR = ACTIVATION * 1.3 / 2**16
ZEROS = (-41, 23, 0, -1, 1, -60)  # zero points of hidden codes

# Standard deviation wanted behind each linear layer: int8 codes, residual codes, Q5.11, Q7.8, result codes.
EMBEDDED, ADDED = 2000, 800
TARGETS: dict[type[Finish], int] = {Codes: ACTIVATION, Residual: ADDED, Gelu: 2048, Gate: 512, Result: 5000}

MINI = ModelConfig(
    name="mini",
    image_height=16,
    image_width=24,
    patch=8,
    dim=32,
    depth=2,
    heads=2,
    mlp_hidden=64,
    moe_blocks=(1,),
    experts=4,
    top_k=2,
    expert_hidden=32,
    tasks=(
        TaskConfig(name="seg", kind="segmentation", classes=3, cell=4),
        TaskConfig(name="depth", kind="depth", classes=1, cell=8),
        TaskConfig(name="class", kind="classification", classes=7),
    ),
)


def fixed_point(factor: NDArray[np.float64]) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """(mult, shift) with ``mult * 2^-shift`` near ``factor`` and a full 16-bit multiplier."""
    shift = np.clip(15 - np.floor(np.log2(factor)), 0, 47)
    return np.minimum(np.round(factor * 2.0**shift), 65535).astype(np.uint16), shift.astype(np.uint8)


def _linear(
    name: str, specs: Specs, rng: np.random.Generator, form: WeightFormat, target: int, inputs: int = ACTIVATION
) -> dict[str, NDArray]:
    shape = specs[f"{name}.weight"].shape
    deviation = NARROW_WEIGHT if form is PACKED4 else WEIGHT
    spread = inputs * deviation * math.sqrt(shape[-1])
    mult, shift = fixed_point(target / spread * rng.uniform(0.5, 1.5, shape[:-1]))
    return {
        f"{name}.weight": np.clip(np.round(rng.normal(0, deviation, shape)), -form.largest, form.largest).astype(
            np.int8
        ),
        f"{name}.bias": np.round(rng.normal(0, 0.3 * spread, shape[:-1])).astype(np.int32),
        f"{name}.mult": mult,
        f"{name}.shift": shift,
    }


def _scale(name: str, factor: NDArray[np.float64] | float) -> dict[str, NDArray]:
    mult, shift = fixed_point(np.atleast_1d(np.asarray(factor, dtype=np.float64)))
    return {f"{name}mult": mult, f"{name}shift": shift}


def _hidden(name: str) -> dict[str, NDArray]:
    """Codes behind GELU, whose zero point follows from the name of their layer."""
    zero = ZEROS[crc32(name.encode()) % len(ZEROS)]
    return _scale(f"{name}.gelu_", GELU_FACTOR) | {zero_array(name): np.array([zero], np.int8)}


def _position(layer: Position, network: Network, rng: np.random.Generator) -> dict[str, NDArray]:
    return {layer.name: np.round(rng.normal(0, 1000, (layer.rows, layer.columns))).astype(np.int16)}


def _one_linear(layer: Linear, network: Network, rng: np.random.Generator) -> dict[str, NDArray]:
    embeds = layer.source.tensor == network.image.writes
    target = EMBEDDED if embeds else TARGETS[type(layer.finish)]
    inputs = PIXEL if embeds else ACTIVATION
    return _linear(layer.name, network.arrays, rng, layer.format, target, inputs)


def _experts(layer: Experts, network: Network, rng: np.random.Generator) -> dict[str, NDArray]:
    (first, one), (second, other) = layer.formats().items()
    arrays = _linear(first, network.arrays, rng, one, TARGETS[Gelu])
    return arrays | _linear(second, network.arrays, rng, other, ADDED) | _hidden(first)


def _norm(layer: Norm, network: Network, rng: np.random.Generator) -> dict[str, NDArray]:
    scale = ACTIVATION / (EMBEDDED if layer.plain else 1024) * 2**16
    return {
        f"{layer.name}.gain": np.round(scale * rng.uniform(-1.5, 1.5, layer.columns)).astype(np.int16),
        f"{layer.name}.offset": np.round(rng.normal(0, 10, layer.columns) * 2**16).astype(np.int32),
        f"{layer.name}.shift": np.array([16], np.uint8),
    }


# Drawn first, in the order of the layers; then the scales behind them.
ARRAYS: dict[type[Layer], Callable[[Any, Network, np.random.Generator], dict[str, NDArray]]] = {
    Position: _position,
    Linear: _one_linear,
    Experts: _experts,
    Norm: _norm,
}


def _scales(layer: Layer, rng: np.random.Generator) -> dict[str, NDArray]:
    if isinstance(layer, Attention):
        spread = ACTIVATION**2 * math.sqrt(layer.columns // layer.heads)
        bias = np.round(rng.normal(0, spread, layer.heads)).astype(np.int32)
        scores = _scale(f"{layer.name}.scores.", 60 / spread * rng.uniform(0.5, 2, layer.heads))
        context = _scale(f"{layer.name}.context.", 2.5 * rng.uniform(0.8, 1.2))
        return {f"{layer.name}.scores.bias": bias, **scores, **context}
    if isinstance(layer, Pool):
        return _scale(f"{layer.name}.context.", math.sqrt(layer.rows) * rng.uniform(0.8, 1.2))
    if isinstance(layer, Linear) and isinstance(layer.finish, Gelu):
        return _hidden(layer.name)
    return {}


def random_package(config: ModelConfig, seed: int = 0) -> QuantisedModel:
    """A valid package of ``config`` with random weights."""
    rng, network = np.random.default_rng(seed), config.network
    arrays: dict[str, NDArray] = {}
    for layer in network.layers:
        if type(layer) in ARRAYS:
            arrays |= ARRAYS[type(layer)](layer, network, rng)
    for layer in network.layers:
        arrays |= _scales(layer, rng)
    tables = default_tables(function=network.activation)
    arrays |= {f"tables.{name}": table.astype(np.int32) for name, table in tables.items()}
    return QuantisedModel(config=config, arrays=arrays, scales={})


def random_image(config: ModelConfig, seed: int = 0) -> NDArray[np.uint8]:
    """A uint8 image of uniform noise that includes 0 and 255."""
    shape = (config.image_height, config.image_width, config.channels)
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    image.flat[:2] = 0, 255
    return image


def changed(package: QuantisedModel, **arrays: NDArray) -> QuantisedModel:
    """``package`` with some arrays replaced; ``__`` in a keyword stands for a dot."""
    return replace(package, arrays=dict(package.arrays) | {name.replace("__", "."): a for name, a in arrays.items()})
