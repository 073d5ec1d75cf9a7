"""Dyadic requantisation: a ratio of scales as an integer of 31 bits over a power of two.

Source: the dyadic pipeline of linear operations; released as `batch_frexp` and `fixedpoint_mul`.
"""

import math
from typing import NamedTuple

import numpy as np

from golden.ivit.limits import INT64_BITS, check_product
from golden.rounding import Integers, half_up
from hwgen.spec.tables import Int64Array

MANTISSA_BITS = 31


class Dyadic(NamedTuple):
    """The number ``mult * 2**-shift``."""

    mult: int  # 2^30 .. 2^31
    shift: int  # 0 .. 62


def dyadic(ratio: float) -> Dyadic:
    """The nearest dyadic number with a mantissa of 31 bits; ValueError unless the ratio is in 2^-32 .. 2^31."""
    if not math.isfinite(ratio) or ratio <= 0.0:
        raise ValueError(f"a ratio of scales is positive and finite, got {ratio}")
    mantissa, exponent = math.frexp(ratio)  # mantissa in [0.5, 1)
    shift = MANTISSA_BITS - exponent
    if not 0 <= shift < INT64_BITS:
        raise ValueError(f"ratio {ratio} needs shift {shift}, outside 0..{INT64_BITS - 1}")
    return Dyadic(math.floor(math.ldexp(mantissa, MANTISSA_BITS) + 0.5), shift)


def half_even(x: Integers, shift: int) -> Int64Array:
    """``x / 2^shift`` rounded to nearest, halves to the even neighbour; ``x`` itself for shift 0."""
    x = np.asarray(x, dtype=np.int64)
    if shift == 0:
        return x
    floor = x >> shift
    rest, half = x - (floor << shift), 1 << (shift - 1)
    return floor + ((rest > half) | ((rest == half) & ((floor & 1) == 1)))


def rescale(z: Integers, ratio: Dyadic) -> Int64Array:
    """``z * ratio`` rounded half to even; any shape. OverflowError when a product exceeds 63 bits (|z| < 2^32 fits)."""
    z = np.asarray(z, dtype=np.int64)
    check_product("dyadic product", z, ratio.mult)
    return half_even(z * ratio.mult, ratio.shift)


def rescale_half_up(z: Integers, ratio: Dyadic) -> Int64Array:
    """`rescale` with one adder for the rounding: another result on exact ties only."""
    z = np.asarray(z, dtype=np.int64)
    check_product("dyadic product", z, ratio.mult)
    return half_up(z * ratio.mult, ratio.shift)


def requantise(
    z: Integers, ratio: Dyadic, bits: int, *, identity: Integers | None = None, identity_ratio: Dyadic | None = None
) -> Int64Array:
    """Codes of ``bits`` signed bits: the rescaled ``z``, plus the rescaled identity branch where there is one.

    The two terms are rounded one by one, then their sum is clamped to ``-2^(bits-1) .. 2^(bits-1) - 1``.
    """
    total = rescale(z, ratio)
    if (identity is None) != (identity_ratio is None):
        raise ValueError("an identity branch needs both its values and its ratio")
    if identity is not None and identity_ratio is not None:
        total = total + rescale(identity, identity_ratio)
    return np.clip(total, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
