"""Zero points of hidden units: codes fill their range, the next bias takes them out, readers of codes know of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from golden.linear import accumulate, add_residual
from golden.network import run_network
from golden.reference.functions import gelu
from golden.rounding import requant
from hwgen.frontend.quantise import quantise
from hwgen.frontend.ranges import RULES, RangeRule, Ranges
from hwgen.frontend.seeded import seeded_calibrated
from hwgen.frontend.sensitivity import sensitivity
from hwgen.frontend.zero_points import code_range, filling, foldable, folded_bias
from hwgen.spec.graph import Network
from hwgen.spec.layers import Codes, Gelu
from hwgen.spec.package import QuantisedModel
from tests.frontend.shapes import SMALL, noise_image

ZEROS = (-127, -1, 0, 1, 127)
VALUES = {  # what activations leave
    "gelu": lambda x: gelu(x),
    "relu": lambda x: np.maximum(x, 0.0),
    "silu": lambda x: x / (1.0 + np.exp(-x)),
}
PARTS = ("weight", "bias", "mult", "shift")
GAIN_DB = {"gelu": 3.5, "relu": 4.0, "silu": 3.5}  # at least, of a whole bit's six
MOSTLY_DENSE = replace(SMALL, depth=2, moe_blocks=(1,))


def _decibels(values: np.ndarray, stored: np.ndarray) -> float:
    return 10 * np.log10(np.square(values).sum() / np.square(stored - values).sum())


@pytest.mark.parametrize(("low", "high"), [(-0.17, 3.0), (0.0, 1.0), (-1.0, 1.0), (-2.0, 0.0), (-0.17, 0.01)])
def test_codes_end_where_the_values_end(low: float, high: float) -> None:
    found = filling(low, high)
    assert -127 <= found.zero <= 127
    assert found.scale == pytest.approx((high - low) / 254)
    ends = np.array([low, high])
    assert np.abs(found.stored(ends) - ends).max() <= 0.51 * found.scale
    assert found.stored(np.zeros(1)) == 0.0
    assert found.ends[0] <= low + found.scale
    assert found.ends[1] >= high - found.scale


@pytest.mark.parametrize("activation", VALUES)
@pytest.mark.parametrize("rule", RULES)
def test_a_zero_point_gains_most_of_a_bit(activation: str, rule: str) -> None:
    values = VALUES[activation](np.random.default_rng(3).normal(0.0, 1.5, (4000, 16)))
    ranges = Ranges(rule=RangeRule(rule=rule))
    symmetric, found = ranges.scale("hidden", values, 4), code_range(ranges, "hidden", values, 4)
    codes = np.clip(np.round(values / symmetric), -127, 127) * symmetric
    assert _decibels(values, found.stored(values)) >= _decibels(values, codes) + GAIN_DB[activation]
    assert found.zero < -80


def test_the_error_search_keeps_headroom_above_and_none_below() -> None:
    values = gelu(np.random.default_rng(4).normal(0.0, 1.0, (4000, 16)))
    found = code_range(Ranges(), "hidden", values, 4)
    assert found.ends[0] == pytest.approx(values.min(), abs=found.scale)
    assert found.ends[1] > 1.05 * values.max()
    larger = np.where(values > 0.0, 1.4 * values, values)
    tight = filling(float(values.min()), float(values.max()))
    assert _decibels(larger, found.stored(larger)) > _decibels(larger, tight.stored(larger)) + 3.0


def test_no_zero_point_where_a_scale_is_given_or_nothing_is_gained() -> None:
    values = gelu(np.random.default_rng(5).normal(0.0, 1.0, (400, 16)))
    assert code_range(Ranges(overrides={"hidden": 0.02}), "hidden", values, 1) == (0.02, 0)
    even = np.array([[-1.0, 1.0, 0.5, -0.5]])
    assert code_range(Ranges(rule=RangeRule(rule="min-max")), "hidden", even, 1) == (pytest.approx(1 / 127), 0)
    below = code_range(Ranges(rule=RangeRule(rule="min-max")), "hidden", -np.abs(even), 1)
    assert below == (pytest.approx(1 / 254), 127)


@pytest.mark.parametrize("zero", ZEROS)
def test_the_folded_bias_equals_the_explicit_subtraction(zero: int) -> None:
    rng = np.random.default_rng(zero + 200)
    rows, weight = rng.integers(-127, 128, (50, 37)), rng.integers(-127, 128, (3, 9, 37)).astype(np.int8)
    bias = rng.integers(-(2**20), 2**20, (3, 9)).astype(np.int32)
    folded = folded_bias("fc2", weight, bias, zero)
    assert folded.dtype == np.int32
    for expert in range(3):
        wanted = (rows - zero) @ weight[expert].T.astype(np.int64) + bias[expert]
        assert np.array_equal(accumulate(rows, weight[expert]) + folded[expert], wanted)
    assert (folded != bias).any() == (zero != 0)


def test_a_channel_without_room_is_named() -> None:
    weight, bias = np.full((2, 3, 4), -127, np.int8), np.zeros((2, 3), np.int32)
    bias[1, 2] = 2**30 - 127 * 4 * 127
    assert folded_bias("fc2", weight, bias, 127)[1, 2] == 2**30
    bias[1, 2] += 1
    with pytest.raises(
        ValueError, match=r"fc2\.bias\[1, 2\] would be 1073741825 with the zero point 127 of its inputs"
    ):
        folded_bias("fc2", weight, bias, 127)


@pytest.fixture(scope="module")
def packages() -> tuple[dict[str, np.ndarray], QuantisedModel, QuantisedModel]:
    """Equalised float arrays, and packages of them with and without zero points."""
    arrays, seen = seeded_calibrated(MOSTLY_DENSE, seed=6)
    package = quantise(arrays, MOSTLY_DENSE, seen, ranges=Ranges())
    fixed = {name: Ranges().scale(name, seen.samples[_sample(name)], seen.images) for name in package.zeros}
    return arrays, package, quantise(arrays, MOSTLY_DENSE, seen, ranges=Ranges(overrides=fixed))


def _sample(name: str) -> str:
    """What calibration calls hidden units; those of experts by token."""
    return name.replace(".hidden", ".expert_hidden") if name == "blocks.1.hidden" else name


def test_every_tensor_of_hidden_units_has_one_and_gains_by_it(packages) -> None:
    arrays, package, without = packages
    assert set(package.zeros) == {"blocks.0.hidden", "blocks.1.hidden"}
    assert all(-127 <= zero < -80 for zero in package.zeros.values())
    assert set(without.zeros.values()) == {0}
    pictures = [noise_image(MOSTLY_DENSE, seed) for seed in range(2)]
    tables = [{line.name: line for line in sensitivity(p, arrays, pictures)} for p in (package, without)]
    for name, zero in package.zeros.items():
        one, other = (table[name] for table in tables)
        assert (one.zero, other.zero) == (zero, 0)
        assert one.format_db > other.format_db + 3.0
        assert one.scale < 0.7 * other.scale
    dense = [table["blocks.0.hidden"].golden_db for table in tables]
    assert dense[0] > dense[1] + 2.0


def test_the_next_layer_takes_the_values_and_not_the_codes(packages) -> None:
    """What golden adds to the residual follows from codes minus zero point and the bias as it was, to the last bit."""
    _, package, _ = packages
    tensors = run_network(package, noise_image(MOSTLY_DENSE, 1), "seg")
    at, zero = "blocks.0", package.zeros["blocks.0.hidden"]
    assert tensors["blocks.0.hidden"].min() < 0 < tensors["blocks.0.hidden"].max()
    weight, bias, mult, shift = (package.arrays[f"{at}.fc2.{part}"].astype(np.int64) for part in PARTS)
    real = (tensors[f"{at}.hidden"] - zero) @ weight.T
    update = requant(real, bias + zero * weight.sum(axis=1), mult, shift)
    assert np.array_equal(tensors[f"{at}.mlp"], add_residual(tensors[f"{at}.attention"], update))


def test_only_layers_with_a_bias_may_read_what_has_a_zero_point() -> None:
    network = MOSTLY_DENSE.network
    assert foldable(network, "blocks.0.hidden")
    assert not foldable(_with(network, "blocks.0.query", [{"finish": Gelu()}]), "blocks.0.query")  # attention reads it
    both = [{"task": "seg"}, {"task": "class", "name": "other"}]
    assert foldable(_with(network, "blocks.0.fc1", both), "blocks.0.hidden")
    both[1]["finish"] = Codes()  # in one task the same reader sees codes around zero
    assert not foldable(_with(network, "blocks.0.fc1", both), "blocks.0.hidden")


def _with(network: Network, name: str, changes: list[dict[str, Any]]) -> Network:
    """``network`` with a layer of its own for each of ``changes`` in the place of the layer ``name``."""
    layers = [[replace(x, **change) for change in changes] if x.name == name else [x] for x in network.layers]
    return Network(layers=tuple(layer for some in layers for layer in some), tasks=network.tasks)
