"""LayerNorm of a residual row: exact integer sums, one rounding of the normalised value, one of the result."""

from dataclasses import dataclass

import numpy as np

from golden.reciprocal import rsqrt
from golden.rounding import Integers, half_up, sat8
from hwgen.spec.numerics import NUMERICS
from hwgen.spec.tables import Int64Array

NORM_FRACTION_BITS = NUMERICS.norm_fraction_bits


@dataclass(frozen=True, kw_only=True)
class RowStatistics:
    """What the first pass over each row leaves behind; shape [rows, 1]."""

    total: Int64Array  # S1, sum of x
    reciprocal: Int64Array  # R, UQ1.15
    exponent: Int64Array  # e


def row_statistics(table: Int64Array, x: Integers) -> RowStatistics:
    """Sum and reciprocal standard deviation of every row of ``x`` [rows, channels]."""
    x = np.asarray(x, dtype=np.int64)
    total = x.sum(axis=-1, keepdims=True)
    squares = (x * x).sum(axis=-1, keepdims=True)
    spread = x.shape[-1] * squares - total * total  # channels^2 times the variance
    value, exponent = rsqrt(table, spread)
    return RowStatistics(total=total, reciprocal=value, exponent=exponent)


def normalise(x: Integers, statistics: RowStatistics) -> Int64Array:
    """``(x - mean) / deviation`` as Q6.10 codes."""
    x = np.asarray(x, dtype=np.int64)
    deviation = x.shape[-1] * x - statistics.total
    return half_up(deviation * statistics.reciprocal, statistics.exponent + 15 - NORM_FRACTION_BITS)


def affine(z: Integers, gain: Integers, offset: Integers, shift: Integers) -> Int64Array:
    """int8 codes of normalised rows, or of int16 rows as they are: ``sat8(half_up(z * gain + offset, shift))``."""
    z, gain, offset = (np.asarray(part, dtype=np.int64) for part in (z, gain, offset))
    return sat8(half_up(z * gain + offset, shift))


def layernorm(table: Int64Array, x: Integers, gain: Integers, offset: Integers, shift: Integers) -> Int64Array:
    """int8 LayerNorm of int16 rows [rows, channels]."""
    return affine(normalise(x, row_statistics(table, x)), gain, offset, shift)
