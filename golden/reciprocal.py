"""Normalised reciprocal and reciprocal square root: a mantissa from a table and an exponent."""

import numpy as np

from golden.rounding import Integers, floor_log2, shift_right
from golden.table import interpolate
from hwgen.spec.tables import INTERPOLATION_BITS, RECIPROCAL_INDEX_BITS, Int64Array

FRACTION_MASK = 2**INTERPOLATION_BITS - 1


def reciprocal(table: Int64Array, x: Integers) -> tuple[Int64Array, Int64Array]:
    """(R, L) of positive integers: ``1 / x`` is about ``R * 2^-15 * 2^-L``, with R in UQ1.15 and L = floor(log2 x)."""
    exponent = floor_log2(x)
    mantissa = shift_right(x, exponent - (RECIPROCAL_INDEX_BITS + INTERPOLATION_BITS))  # 1.17 bits
    index = (mantissa >> INTERPOLATION_BITS) & (2**RECIPROCAL_INDEX_BITS - 1)
    return interpolate(table, index, mantissa & FRACTION_MASK, INTERPOLATION_BITS), exponent


def rsqrt(table: Int64Array, x: Integers) -> tuple[Int64Array, Int64Array]:
    """(R, e) of non-negative integers: ``1 / sqrt(x)`` is about ``R * 2^-15 * 2^-e``; zero gives (0, 0)."""
    x = np.asarray(x, dtype=np.int64)
    positive = np.maximum(x, 1)
    exponent = floor_log2(positive) >> 1
    mantissa = shift_right(positive, 2 * exponent - 16)  # 2.16 bits, in [1, 4)
    value = interpolate(table, (mantissa >> INTERPOLATION_BITS) - 64, mantissa & FRACTION_MASK, INTERPOLATION_BITS)
    return np.where(x == 0, 0, value), np.where(x == 0, 0, exponent)
