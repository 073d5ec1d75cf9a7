"""Shift exponential: e^x from shifts and additions (ShiftExp).

Source: the first half of Shiftmax; released as `int_exp_shift`.
"""

import math

import numpy as np

from golden.ivit.limits import INT64_BITS
from golden.rounding import Integers
from hwgen.spec.tables import Int64Array


def unit(scale: float) -> int:
    """``x0 = floor(-1 / scale)``: minus the number of codes in one unit of the exponent, rounded up in magnitude."""
    if not math.isfinite(scale) or scale <= 0.0:
        raise ValueError(f"a scale is positive and finite, got {scale}")
    return math.floor(-1.0 / scale)


def shift_exp(x: Integers, x0: int, n: int) -> Int64Array:
    """``exp(x * S)`` in units of ``S / 2^n``, for codes x of scale S and ``x0 = unit(S)``; any shape.

    Made for x <= 0. A positive x gives a left shift beyond n, as in the all-negative rows of ShiftGELU.
    OverflowError when a result exceeds 63 bits; for x <= 0 results are at most ``-x0 * 2^n``.
    """
    if x0 >= 0:
        raise ValueError(f"x0 is negative, got {x0}")
    x = np.asarray(x, dtype=np.int64)
    octaves = x + (x >> 1) - (x >> 4)  # 1.4375 for log2 e = 1.4427
    octaves = np.maximum(octaves, n * x0)
    whole = octaves // x0  # floor; at most n
    rest = octaves - whole * x0  # x0 < rest <= 0
    shift = n - whole
    top = int(shift.max(initial=0)) + (-2 * x0).bit_length()
    if top > INT64_BITS:
        raise OverflowError(f"shift exponential: {top} bits, from x up to {int(x.max())} with x0 {x0} and n {n}")
    return ((rest - 2 * x0) << shift) >> 1
