"""Roundings and saturations against exact rational arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest

from golden.rounding import floor_log2, half_up, requant, sat8, sat10, sat16, saturate, shift_right


def exact_half_up(x: int, shift: int) -> int:
    return math.floor(Fraction(x, 2**shift) + Fraction(1, 2))


def test_half_up_is_none_of_the_other_modes():
    """Four halves on which floor, ceiling, half-even, half-away and half-up give five different rows."""
    x = np.array([-3, -1, 1, 3, 5])
    halves = [Fraction(int(v), 2) for v in x]
    modes = {
        "floor": [math.floor(h) for h in halves],
        "ceil": [math.ceil(h) for h in halves],
        "half_even": [round(h) for h in halves],
        "half_away": [int(math.copysign(math.floor(abs(h) + Fraction(1, 2)), h)) for h in halves],
        "half_down": [math.ceil(h - Fraction(1, 2)) for h in halves],
        "truncate": [int(h) for h in halves],
    }
    found = half_up(x, 1).tolist()
    assert found == [-1, 0, 1, 2, 3]
    assert half_up(np.array([5, -6, 7]), 2).tolist() == [1, -1, 2]  # 1.25, -1.5, 1.75
    # On positive halves half_up is ceil and half_away; a negative half and a quarter tell them apart.
    quarters = [Fraction(5, 4), Fraction(-3, 2), Fraction(-3, 2)]
    modes["ceil"] += [math.ceil(q) for q in quarters]
    found += half_up(np.array([5, -6, -6]), 2).tolist()
    for name, row in modes.items():
        assert row != found[: len(row)], name


@pytest.mark.parametrize("shift", range(48))
def test_half_up_exact(shift: int):
    rng = np.random.default_rng(shift)
    half = 2**shift >> 1
    x = np.concatenate([rng.integers(-(2**48), 2**48, 200), half * np.arange(-9, 10), half * np.arange(-9, 10) - 1])
    assert half_up(x, shift).tolist() == [exact_half_up(int(v), shift) for v in x]


def test_half_up_takes_one_shift_per_value():
    assert half_up(np.array([7, 7, 7, -7]), np.array([0, 1, 2, 1])).tolist() == [7, 4, 2, -3]


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [(sat8, -127, 127), (sat10, -512, 511), (sat16, -32768, 32767), (lambda x: saturate(x, 17), -65536, 65535)],
)
def test_saturation_corners(function, low: int, high: int):
    x = np.array([low - 2**40, low - 1, low, low + 1, 0, high - 1, high, high + 1, high + 2**40])
    assert function(x).tolist() == [low, low, low, low + 1, 0, high - 1, high, high, high]


def test_requant_at_the_extremes():
    values = [2**31 - 1, -(2**31), 2**30, 1, 0, -1, 12345]
    compared = 0
    for acc in values:
        for mult in (0, 1, 32768, 65535):
            for shift in (0, 1, 15, 31, 46, 47):
                bias = -(acc // 3)
                assert requant(acc, bias, mult, shift) == exact_half_up((acc + bias) * mult, shift)
                compared += 1
    assert compared == 7 * 4 * 6


def test_shift_right_both_ways():
    x = np.array([5, -5, 5, -5, 2**53])
    assert shift_right(x, np.array([1, 1, -2, -2, 53])).tolist() == [2, -3, 20, -20, 1]


def test_floor_log2_around_every_power():
    x = np.array([2**n + d for n in range(2, 63) for d in (-1, 0, 1)] + [1, 2])
    assert floor_log2(x).tolist() == [int(v).bit_length() - 1 for v in x]


def test_floor_log2_refuses_zero():
    with pytest.raises(ValueError, match="positive integers, got 0"):
        floor_log2(np.array([3, 0]))
