"""Bits of weights as text, and what a package refuses."""

import re
from dataclasses import replace

import numpy as np
import pytest

from hwgen.spec.arrays import package_arrays
from hwgen.spec.model import ModelConfig
from hwgen.spec.package import PackageError, QuantisedModel
from hwgen.spec.presets import M3VIT_TINY, MODELS
from hwgen.spec.weight_bits import weight_bits_text, with_weight_bits
from hwgen.store.packages import load_package, save_package
from tests.golden.random_package import MINI, changed, random_package

EXPERTS = ("blocks.1.experts.fc1", "blocks.1.experts.fc2")


@pytest.mark.parametrize("config", MODELS.values(), ids=lambda config: config.name)
def test_linear_layers_are_those_of_a_package(config: ModelConfig):
    weights = [name.removesuffix(".weight") for name in package_arrays(config) if name.endswith(".weight")]
    assert sorted(config.linear_layers) == sorted(weights)


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("experts=4", EXPERTS),
        ("blocks.1.experts.fc2=4", EXPERTS[1:]),
        ("*.fc?=4, mlp=8", EXPERTS),
        ("blocks.1.*=4,attention=8,gates=8", EXPERTS),
        ("experts=8", ()),
        ("*=4", tuple(MINI.linear_layers)),
    ],
)
def test_text_to_layers(text: str, layers: tuple[str, ...]):
    assert with_weight_bits(MINI, text).int4 == layers


def test_layers_that_nothing_names_stay():
    narrow = with_weight_bits(MINI, "experts=4")
    assert with_weight_bits(narrow, "heads=4").int4 == (*EXPERTS, "heads.seg", "heads.depth", "heads.class")
    assert with_weight_bits(narrow, "*=8") == MINI


@pytest.mark.parametrize("text", ["experts=4", "attention=4,blocks.1.experts.fc1=4", "*=4", ""])
def test_layers_to_text(text: str):
    config = with_weight_bits(MINI, text) if text else MINI
    assert weight_bits_text(config) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experts", "'experts': give WHAT=4 or WHAT=8, such as experts=4"),
        ("experts=6", "'experts=6': give WHAT=4 or WHAT=8"),
        ("expert=4", "m3vit-tiny has no layers 'expert'; give a kind (patch_embed, attention, mlp, gates, experts, he"),
        ("", "'': give WHAT=4 or WHAT=8"),
    ],
)
def test_refusals(text: str, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        with_weight_bits(M3VIT_TINY, text)


def test_a_model_refuses_layers_that_it_does_not_have():
    with pytest.raises(ValueError, match=r"mini: int4 must name different linear layers, got \['blocks.9.query'\]"):
        replace(MINI, int4=("blocks.9.query",))
    with pytest.raises(ValueError, match="must name different linear layers"):
        replace(MINI, int4=("patch_embed", "patch_embed"))


@pytest.mark.parametrize("code", [8, -8, -128])
def test_a_package_refuses_codes_beyond_four_bits(code: int):
    package = random_package(with_weight_bits(MINI, "experts=4"))
    weight = package.arrays[f"{EXPERTS[1]}.weight"].copy()
    weight[2, 3, 4] = code
    with pytest.raises(
        PackageError, match=rf"mini: {EXPERTS[1]}.weight\[2, 3, 4\] is {code}, the machine takes -7..7 "
    ):
        changed(package, **{f"{EXPERTS[1]}.weight": weight})


def test_a_package_file_keeps_the_bits(tmp_path):
    package = random_package(with_weight_bits(MINI, "experts=4,heads.seg=4"))
    save_package(package, tmp_path / "mini.safetensors")
    again = load_package(tmp_path / "mini.safetensors")
    assert isinstance(again, QuantisedModel)
    assert again.config == package.config
    assert all(np.array_equal(again.arrays[name], array) for name, array in package.arrays.items())
