"""What quantisation costs each kind of network, as a table: ``python -m benchmarks.kinds``.

Seeded networks of one size that differ in one thing each, with scales from scenes and figures from others: golden
against float, in decibels, by kind of tensor, and how often the head gives the same answer.
"""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from golden.analysis.markdown import table
from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from golden.reference.scenes import HELD_OUT_FIRST_SEED, draw_scenes
from hwgen.frontend.calibration import IMPORTED_STRENGTH, calibrate, equalise
from hwgen.frontend.importers.pooled import mean_norm_arrays
from hwgen.frontend.quantise import quantise
from hwgen.frontend.ranges import Ranges
from hwgen.frontend.seeded import calibration_images, seeded_float
from hwgen.frontend.sensitivity import decibels
from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.spec.package import QuantisedModel

CALIBRATION = 8  # scenes that set the scales
HELD_OUT = 8  # others, of which the figures are
PLAIN = ModelConfig(
    name="plain",
    image_height=64,
    image_width=64,
    patch=8,
    dim=96,
    depth=6,
    heads=3,
    mlp_hidden=384,
    tasks=(TaskConfig(name="class", kind="classification", classes=100),),
)
KINDS: dict[str, ModelConfig] = {
    "class token, GELU": PLAIN,
    "mean of the patches": replace(PLAIN, class_token="none", pool="mean"),
    "normalised mean (`fc_norm`)": replace(PLAIN, pool="mean_norm"),
    "two class tokens": replace(PLAIN, class_token="distilled"),
    "four registers": replace(PLAIN, registers=4),
    "features of every token": replace(PLAIN, tasks=(TaskConfig(name="class", kind="features", classes=96),)),
    "GELU by tanh": replace(PLAIN, activation="gelu_tanh"),
    "QuickGELU": replace(PLAIN, activation="quick_gelu"),
    "ReLU": replace(PLAIN, activation="relu"),
    "SiLU": replace(PLAIN, activation="silu"),
    "Hardswish": replace(PLAIN, activation="hardswish"),
    "experts, top 2 of 8": replace(PLAIN, moe_blocks=(1, 3, 5), experts=8, top_k=2, expert_hidden=192),
}
# Column -> patterns of the tensors that it sums up.
TENSORS: dict[str, tuple[str, ...]] = {
    "LayerNorm": ("*norm1", "*norm2"),
    "q, k, v": ("*.query", "*.key", "*.value"),
    "context": ("*.context",),
    "hidden": ("*.hidden",),
    "residual": ("*.attention", "*.mlp", "*.moe"),
    "head": ("heads.*",),
}


@dataclass
class _Sums:
    """Of all images, and how many answers were the same."""

    signal: dict[str, float]
    noise: dict[str, float]
    same: int = 0


def cost(config: ModelConfig) -> tuple[dict[str, float], float]:
    """Decibels by column, and the share of rows of the head whose largest value is at the same place."""
    plain = seeded_float(config)
    if config.pool == "mean_norm":
        plain |= mean_norm_arrays(config.dim)
    arrays, seen = equalise(
        plain, config, calibrate(plain, config, calibration_images(config, CALIBRATION)), IMPORTED_STRENGTH
    )
    package = quantise(arrays, config, seen, ranges=Ranges())
    model, sums, rows = FloatModel(arrays, config), _Sums({}, {}), 0
    seeds = range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + HELD_OUT)
    for scene in draw_scenes(seeds, height=config.image_height, width=config.image_width):
        real, codes = model.run(scene.image, "class"), run_network(package, scene.image, "class")
        for column, name in _columns(package):
            if name in real and name in codes:
                found = (codes[name] - package.zeros.get(name, 0)) * package.scales[name]
                sums.signal[column] = sums.signal.get(column, 0.0) + float(np.square(real[name]).sum())
                sums.noise[column] = sums.noise.get(column, 0.0) + float(np.square(found - real[name]).sum())
        head = "heads.class"
        sums.same += int((real[head].argmax(axis=1) == codes[head].argmax(axis=1)).sum())
        rows += len(real[head])
    return {name: decibels(sums.signal[name], sums.noise[name]) for name in sums.signal}, sums.same / rows


def _columns(package: QuantisedModel) -> Iterator[tuple[str, str]]:
    for column, patterns in TENSORS.items():
        for name in package.scales:
            if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                yield column, name


def kinds_table() -> str:
    """A line a kind of network."""
    lines: list[tuple[str, ...]] = []
    for name, config in KINDS.items():
        found, same = cost(config)
        lines.append((name, *(f"{found[column]:.1f}" for column in TENSORS), f"{same:.1%}"))
    return table(("network", *TENSORS, "same answer"), lines)


if __name__ == "__main__":
    print(kinds_table())
