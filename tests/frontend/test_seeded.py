"""Seeded random weights: the numbers of yesterday, and how widely they spread."""

from dataclasses import replace

import numpy as np
import pytest

from golden.reference.m3vit_float import float_arrays
from hwgen.frontend.layers.spread import FACES, Edges
from hwgen.frontend.seeded import seeded_float, seeded_images
from hwgen.frontend.store import weights_sha256
from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.spec.presets import M3VIT_MICRO, model_config
from tests.frontend.shapes import SMALL

VIT = replace(
    SMALL,
    name="vit",
    moe_blocks=(),
    image_width=16,
    tasks=(TaskConfig(name="class", kind="classification", classes=9),),
)
DIGESTS = {  # packages made from seeds, and every figure measured on them, hang on these
    "m3vit-micro": "3c1a88a528a8e93451216395f64d57d9",
    "small": "0d385f38db73905c2618a45c2c03b13c",
    "vit": "438ba1d236c5f5422a1e8183e20e43cb",
}


@pytest.mark.parametrize("config", [M3VIT_MICRO, SMALL, VIT], ids=lambda config: config.name)
def test_numbers_of_yesterday(config: ModelConfig) -> None:
    arrays = seeded_float(config, 7)
    assert {name: array.shape for name, array in arrays.items()} == float_arrays(config)
    assert all(array.dtype == np.float32 for array in arrays.values())
    assert weights_sha256(arrays)[:32] == DIGESTS[config.name]
    assert weights_sha256(seeded_float(config, 8)) != weights_sha256(arrays)


@pytest.mark.parametrize("config", [SMALL, VIT], ids=lambda config: config.name)
def test_every_array_of_every_layer_has_a_spread(config: ModelConfig) -> None:
    edges = Edges(config.network)
    for layer in config.network.layers:
        assert list(FACES[type(layer)](edges, layer)) == list(layer.floats()), layer.name


def test_gains_follow_from_whom_a_layer_works_for() -> None:
    """Times the root of the inputs: gates two, queries and keys 1.4, what joins the stream less the more blocks."""
    arrays, depth = seeded_float(M3VIT_MICRO, 1), M3VIT_MICRO.depth**0.5
    gains = {
        "patch_embed": 1.0,
        "blocks.1.query": 1.4,
        "blocks.1.key": 1.4,
        "blocks.1.value": 1.0,
        "blocks.1.proj": 1.0 / depth,
        "blocks.0.fc1": 1.0,
        "blocks.0.fc2": 2.0 / depth,
        "blocks.1.gate.seg": 2.0,
        "blocks.1.experts.fc1": 1.0,
        "blocks.1.experts.fc2": 2.0 / depth,
        "heads.depth": 1.0,
    }
    for name, gain in gains.items():
        weight = arrays[f"{name}.weight"]
        assert weight.std() * weight.shape[-1] ** 0.5 == pytest.approx(gain, rel=0.1), name
    assert arrays["blocks.2.norm2.weight"].mean() == pytest.approx(1.0, abs=0.05)
    assert arrays["position"].std() == pytest.approx(1.0, rel=0.1)


def test_small_networks_calibrate_on_more_images() -> None:
    assert [seeded_images(config) for config in (VIT, SMALL, M3VIT_MICRO, model_config("deit-tiny"))] == [16, 16, 3, 1]
