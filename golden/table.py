"""Interpolated table: the value of a function between two entries."""

import numpy as np

from golden.rounding import Integers, half_up
from hwgen.spec.tables import Int64Array


def interpolate(table: Int64Array, index: Integers, fraction: Integers, fraction_bits: int) -> Int64Array:
    """``base[index] + half_up(slope[index] * fraction, fraction_bits)`` of a table of (base, slope) rows."""
    entries = table.astype(np.int64)[np.asarray(index)]
    return entries[..., 0] + half_up(entries[..., 1] * np.asarray(fraction, dtype=np.int64), fraction_bits)


def direct(table: Int64Array, index: Integers) -> Int64Array:
    """``base[index]`` of a table that holds one value per index."""
    return table[:, 0].astype(np.int64)[np.asarray(index)]
