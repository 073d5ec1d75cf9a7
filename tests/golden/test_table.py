"""Interpolated and direct tables against a plain loop."""

import math

import numpy as np

from golden.table import direct, interpolate


def test_interpolate_by_hand():
    table = np.array([[100, 8], [200, -8], [32768, -127]])
    assert interpolate(table, np.array([0, 0, 1, 1]), np.array([0, 3, 3, 4]), 6).tolist() == [100, 100, 200, 200]
    # slope * fraction / 64: 4/64 -> half up 0.5 -> 1; -0.5 -> 0; -127 * 63 / 64 = -125.02
    assert interpolate(table, np.array([0, 1, 2]), np.array([4, 4, 63]), 6).tolist() == [101, 200, 32643]


def test_interpolate_random():
    rng = np.random.default_rng(1)
    table = np.stack([rng.integers(0, 65536, 50), rng.integers(-32768, 32768, 50)], axis=1).astype(np.int32)
    index, fraction = rng.integers(0, 50, 1000), rng.integers(0, 1024, 1000)
    expected = [
        int(table[k, 0]) + math.floor(int(table[k, 1]) * int(f) / 1024 + 0.5)
        for k, f in zip(index, fraction, strict=True)
    ]
    assert interpolate(table, index, fraction, 10).tolist() == expected
    assert direct(table, index).tolist() == [int(table[k, 0]) for k in index]
