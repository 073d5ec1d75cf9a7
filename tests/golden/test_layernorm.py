"""LayerNorm against float and against Python integers."""

import math
from fractions import Fraction

import numpy as np
import pytest

from golden.layernorm import affine, layernorm, normalise, row_statistics
from hwgen.spec.tables import rsqrt_table

TABLE = rsqrt_table()


def rows(channels: int, seed: int) -> np.ndarray:
    """Rows of every amplitude, two of them at the ends of int16, with offsets."""
    rng = np.random.default_rng(seed)
    drawn = [rng.normal(m, s, channels) for s in (0.6, 3, 100, 2000, 15000) for m in (0, -7, 5000)]
    ends = [np.where(np.arange(channels) % 2, 32767, -32768), np.where(np.arange(channels) == 0, 32767, -32768)]
    return np.clip(np.round(np.stack(drawn + ends)), -32768, 32767).astype(np.int64)


@pytest.mark.parametrize("channels", [2, 16, 64, 192, 768, 1000])
def test_normalised_value_against_float(channels: int):
    x = rows(channels, channels)
    statistics = row_statistics(TABLE, x)
    deviation = np.maximum(x.std(axis=1, keepdims=True), 1e-9)
    real = (x - x.mean(axis=1, keepdims=True)) / deviation
    error = np.abs(normalise(x, statistics) / 2**10 - real)
    assert np.all(error <= 2**-11 + np.abs(real) * 2**-12)
    assert np.abs(normalise(x, statistics)).max() < 2**16


def test_restated_with_python_integers():
    rng = np.random.default_rng(5)
    x = rows(48, 5)
    gain, offset = rng.integers(-32768, 32768, 48), rng.integers(-(2**20), 2**20, 48)
    found = layernorm(TABLE, x, gain, offset, 17)
    for row, got in zip(x.tolist(), found.tolist(), strict=True):
        total, squares = sum(row), sum(v * v for v in row)
        spread = 48 * squares - total * total
        e = (spread.bit_length() - 1) // 2
        w = math.floor(Fraction(spread, 4**e) * 2**16)
        r = TABLE[w // 1024 - 64][0] + math.floor(Fraction(int(TABLE[w // 1024 - 64][1]) * (w % 1024), 1024) + 0.5)
        for v, g, o, h in zip(row, gain.tolist(), offset.tolist(), got, strict=True):
            z = math.floor(Fraction((48 * v - total) * int(r), 2 ** (e + 5)) + Fraction(1, 2))
            exact = math.floor(Fraction(z * g + o, 2**17) + Fraction(1, 2))
            assert h == max(-127, min(127, exact))
    assert len(np.unique(found)) > 100


@pytest.mark.parametrize("value", [-32768, -1, 0, 1, 32767])
def test_constant_row_gives_the_offset(value: int):
    """Variance 0: z = 0, so halves of the offset are rounded up and saturated."""
    x = np.full((3, 6), value)
    offset = np.array([0, 32, 31, -32, -33, 2**30])
    gain = np.full(6, 32767)
    assert layernorm(TABLE, x, gain, offset, 6).tolist() == [[0, 1, 0, 0, -1, 127]] * 3


def test_plain_rows_are_their_values_times_gain_plus_offset():
    """Every int16 value against fractions: halves upwards, saturated; no row knows of its neighbours."""
    x = np.arange(-32768, 32768).reshape(-1, 8)
    rng = np.random.default_rng(6)
    for shift in (0, 1, 15, 24):
        gain, offset = rng.integers(-32768, 32768, 8), rng.integers(-(2**30), 2**30, 8)
        gain[0], offset[1] = -32768, 2**30
        found = affine(x, gain, offset, shift)
        parts = list(zip(gain.tolist(), offset.tolist(), strict=True))
        rows = [zip(row, parts, strict=True) for row in x[::97].tolist()]
        exact = [[Fraction(v * g + o, 2**shift) for v, (g, o) in row] for row in rows]
        wanted = [[max(-127, min(127, math.floor(v + Fraction(1, 2)))) for v in row] for row in exact]
        assert found[::97].tolist() == wanted
        assert np.array_equal(affine(x[5:6], gain, offset, shift), found[5:6])
    assert affine(np.array([[3, -3, 5]]), 1, 0, 1).tolist() == [[2, -1, 3]]


def test_smallest_variance():
    """One code of difference in a long row is still a full-size deviation."""
    x = np.full((1, 1000), 32766)
    x[0, 500] = 32767
    z = normalise(x, row_statistics(TABLE, x))
    assert abs(z[0, 500] / 2**10 - math.sqrt(999)) <= math.sqrt(999) * 2**-12 + 2**-11


def test_order_of_channels_does_not_matter():
    x = rows(192, 9)
    order = np.random.default_rng(0).permutation(192)
    first, second = normalise(x, row_statistics(TABLE, x)), normalise(x[:, order], row_statistics(TABLE, x[:, order]))
    assert np.array_equal(first[:, order], second)
    assert len(np.unique(first)) > 500
