"""Random quantised models with sensible scales: activations neither constant nor all saturated."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.arrays import package_arrays
from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.spec.package import QuantisedModel
from hwgen.spec.tables import default_tables

WEIGHT = 40  # standard deviation of weight codes
NARROW_WEIGHT = 3  # ... of four bits
ACTIVATION = 35  # of activation codes
PIXEL = 73  # of centred uniform pixels

# Standard deviation wanted behind each linear layer: int8 codes, residual codes, Q5.11, Q7.8, result codes.
TARGETS = {
    "patch_embed": 2000,
    "query": ACTIVATION,
    "key": ACTIVATION,
    "value": ACTIVATION,
    "proj": 800,
    "fc1": 2048,
    "fc2": 800,
    "gate": 512,
    "heads": 5000,
}

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


def _linear(name: str, shape: tuple[int, ...], rng: np.random.Generator, *, int4: bool) -> dict[str, NDArray]:
    deviation, limit = (NARROW_WEIGHT, 7) if int4 else (WEIGHT, 127)
    kind = next(part for part in reversed(name.split(".")) if part in TARGETS)
    inputs = PIXEL if kind == "patch_embed" else ACTIVATION
    spread = inputs * deviation * math.sqrt(shape[-1])
    mult, shift = fixed_point(TARGETS[kind] / spread * rng.uniform(0.5, 1.5, shape[:-1]))
    return {
        f"{name}.weight": np.clip(np.round(rng.normal(0, deviation, shape)), -limit, limit).astype(np.int8),
        f"{name}.bias": np.round(rng.normal(0, 0.3 * spread, shape[:-1])).astype(np.int32),
        f"{name}.mult": mult,
        f"{name}.shift": shift,
    }


def _norm(name: str, dim: int, rng: np.random.Generator) -> dict[str, NDArray]:
    scale = ACTIVATION / 1024 * 2**16
    return {
        f"{name}.gain": np.round(scale * rng.uniform(-1.5, 1.5, dim)).astype(np.int16),
        f"{name}.offset": np.round(rng.normal(0, 10, dim) * 2**16).astype(np.int32),
        f"{name}.shift": np.array([16], np.uint8),
    }


def _scales(config: ModelConfig, block: int, rng: np.random.Generator) -> dict[str, NDArray]:
    at = f"blocks.{block}"
    spread = ACTIVATION**2 * math.sqrt(config.head_dim)
    arrays: dict[str, NDArray] = {
        f"{at}.scores.bias": np.round(rng.normal(0, spread, config.heads)).astype(np.int32),
    }
    pairs = {
        "scores.": 60 / spread * rng.uniform(0.5, 2, config.heads),
        "context.": np.array([2.5]) * rng.uniform(0.8, 1.2),
        ("experts.fc1.gelu_" if config.is_moe(block) else "fc1.gelu_"): np.array([ACTIVATION * 1.3 / 2**16]),
    }
    for prefix, factor in pairs.items():
        arrays[f"{at}.{prefix}mult"], arrays[f"{at}.{prefix}shift"] = fixed_point(factor)
    return arrays


def random_package(config: ModelConfig, seed: int = 0) -> QuantisedModel:
    """A valid package of ``config`` with random weights."""
    rng = np.random.default_rng(seed)
    specs = package_arrays(config)
    arrays: dict[str, NDArray] = {
        "position": np.round(rng.normal(0, 1000, specs["position"].shape)).astype(np.int16),
    }
    for name, spec in specs.items():
        if name.endswith(".weight"):
            layer = name.removesuffix(".weight")
            arrays |= _linear(layer, spec.shape, rng, int4=layer in config.int4)
        elif name.endswith(".gain"):
            arrays |= _norm(name.removesuffix(".gain"), spec.shape[0], rng)
    for block in range(config.depth):
        arrays |= _scales(config, block, rng)
    arrays |= {f"tables.{name}": table.astype(np.int32) for name, table in default_tables().items()}
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
