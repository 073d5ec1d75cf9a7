"""Reciprocal and reciprocal square root against the real functions."""

import math

import numpy as np

from golden.reciprocal import reciprocal, rsqrt
from hwgen.spec.tables import reciprocal_table, rsqrt_table

RNG = np.random.default_rng(3)


def wide_integers(bits: int, count: int = 20000) -> np.ndarray:
    """Positive integers of every width up to ``bits``, with the neighbours of powers of two."""
    near = [2**n + d for n in range(1, bits) for d in (-1, 0, 1)]
    spread = [int(v) for v in np.exp2(RNG.uniform(0, bits, count))]
    return np.array(near + spread, dtype=np.int64)


def test_reciprocal_relative_error():
    x = wide_integers(54)
    value, exponent = reciprocal(reciprocal_table(), x)
    assert exponent.tolist() == [int(v).bit_length() - 1 for v in x]
    error = value * 2.0**-15 * 2.0 ** -exponent.astype(float) * x.astype(float) - 1
    assert np.abs(error).max() <= 2.0**-13.5
    assert value.min() >= 16384
    assert value.max() == 32768


def test_reciprocal_of_powers_of_two_is_exact():
    x = 2 ** np.arange(54)
    value, exponent = reciprocal(reciprocal_table(), x)
    assert set(value.tolist()) == {32768}
    assert exponent.tolist() == list(range(54))


def test_rsqrt_relative_error():
    x = wide_integers(52)
    value, exponent = rsqrt(rsqrt_table(), x)
    error = value * 2.0**-15 * 2.0 ** -exponent.astype(float) * np.sqrt(x.astype(float)) - 1
    assert np.abs(error).max() <= 2.0**-12
    assert value.min() >= 16384
    assert value.max() == 32768


def test_rsqrt_restated_with_python_integers():
    table = rsqrt_table()
    x = wide_integers(52, 500)
    value, exponent = rsqrt(table, x)
    for v, found, e in zip(x.tolist(), value.tolist(), exponent.tolist(), strict=True):
        power = (v.bit_length() - 1) // 2
        w = v * 2**16 // 4**power
        assert 2**16 <= w < 2**18
        base, slope = table[w // 1024 - 64].tolist()
        assert (found, e) == (base + math.floor(slope * (w % 1024) / 1024 + 0.5), power)


def test_reciprocal_restated_with_python_integers():
    table = reciprocal_table()
    x = wide_integers(54, 500)
    value, exponent = reciprocal(table, x)
    for v, found, e in zip(x.tolist(), value.tolist(), exponent.tolist(), strict=True):
        w = (v << 17) // 2**e
        assert 2**17 <= w < 2**18
        base, slope = table[w // 1024 - 128].tolist()
        assert found == base + math.floor(slope * (w % 1024) / 1024 + 0.5)


def test_rsqrt_of_zero():
    value, exponent = rsqrt(rsqrt_table(), np.array([0, 1, 0]))
    assert value.tolist() == [0, 32768, 0]
    assert exponent.tolist() == [0, 0, 0]
