"""Multipliers, weight rounding and clipping ranges."""

import numpy as np
import pytest

from hwgen.frontend.scaling import clipping_scale, multiplier, quantised_linear
from hwgen.spec.numerics import MAX_BIAS, MAX_SHIFT


def test_multipliers_are_normalised_and_nearest() -> None:
    ratios = 2.0 ** np.random.default_rng(0).uniform(-31.9, 15.9, 2000)
    mult, shift = multiplier(ratios)
    assert mult.dtype == np.uint16
    assert shift.dtype == np.uint8
    assert (mult >= 2**15).all()
    assert shift.max() <= MAX_SHIFT
    found = mult.astype(np.float64) * 2.0 ** -shift.astype(np.float64)
    assert np.abs(found / ratios - 1).max() <= 2.0**-16


def test_a_multiplier_that_rounds_up_to_the_next_power_is_renormalised() -> None:
    mult, shift = multiplier(1.0 - 2.0**-20)
    assert (int(mult), int(shift)) == (2**15, 15)


def test_small_ratios_lose_precision_instead_of_shift_range() -> None:
    mult, shift = multiplier(2.0**-40)
    assert (int(mult), int(shift)) == (2**7, 47)
    mult, shift = multiplier(0.75 * 2.0**-20, max_shift=30)
    assert (int(mult), int(shift)) == (768, 30)


@pytest.mark.parametrize("ratio", [0.0, -1.0, np.nan, np.inf])
def test_impossible_ratios_are_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="must be positive and finite"):
        multiplier(ratio)


def test_a_ratio_beyond_the_multiplier_is_refused() -> None:
    with pytest.raises(ValueError, match="is 65536 or more"):
        multiplier(65536.0)


def test_weights_are_rounded_to_nearest_with_a_scale_per_channel() -> None:
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((3, 10, 20)) * 10.0 ** rng.uniform(-3, 2, (3, 10, 1))
    bias = rng.standard_normal((3, 10))
    found = quantised_linear(weight, bias, in_scale=0.02, out_scale=0.5)
    real = found["mult"] * 2.0 ** -found["shift"].astype(float) * 0.5 / 0.02  # weight scale of each channel
    assert np.abs(found["weight"]).max(axis=-1).tolist() == [[127] * 10] * 3
    assert (np.abs(found["weight"] * real[..., None] - weight) <= 0.501 * real[..., None]).all()
    assert (np.abs(found["bias"] * real * 0.02 - bias) <= 0.02 * real + 1e-4 * np.abs(bias)).all()


def test_dead_channels_keep_their_bias() -> None:
    weight = np.zeros((2, 4))
    weight[1] = 1e-12
    found = quantised_linear(weight, np.array([3.0, -3.0]), in_scale=0.01, out_scale=0.001)
    assert np.abs(found["bias"]).max() <= MAX_BIAS
    ratio = found["mult"] * 2.0 ** -found["shift"].astype(float)
    np.testing.assert_allclose(found["bias"] * ratio * 0.001, [3.0, -3.0], rtol=1e-3)


def test_clipping_ignores_an_outlier_but_keeps_a_flat_distribution() -> None:
    rng = np.random.default_rng(2)
    flat = rng.uniform(-1.0, 1.0, (1000, 64))
    assert clipping_scale(flat) == pytest.approx(1 / 127, rel=0.03)
    normal = rng.standard_normal((1000, 64))
    normal[0, 0] = 8.0
    assert 3.0 < clipping_scale(normal) * 127 < 7.5
    assert clipping_scale(np.zeros((4, 4))) == 1.0
