"""Named roundings and saturations; the only places where an integer loses bits."""

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.tables import Int64Array

Integers = NDArray[np.integer] | int


def half_up(x: Integers, shift: Integers) -> Int64Array:
    """``x / 2^shift`` rounded to nearest, halves upwards; ``x`` itself for shift 0."""
    shift = np.asarray(shift, dtype=np.int64)
    return (np.asarray(x, dtype=np.int64) + ((np.int64(1) << shift) >> 1)) >> shift


def shift_right(x: Integers, amount: Integers) -> Int64Array:
    """``floor(x / 2^amount)``; a negative amount shifts left, so that ``(x << n) >> m`` never needs n more bits."""
    x, amount = np.asarray(x, dtype=np.int64), np.asarray(amount, dtype=np.int64)
    return (x << np.maximum(-amount, 0)) >> np.maximum(amount, 0)


def saturate(x: Integers, bits: int) -> Int64Array:
    """Clip to ``bits`` signed bits; eight bits are symmetric (-127..127), wider ranges are two's complement."""
    high = 2 ** (bits - 1) - 1
    low = -high if bits == 8 else -high - 1
    return np.clip(np.asarray(x, dtype=np.int64), low, high)


def sat8(x: Integers) -> Int64Array:
    """Clip to -127..127: activations."""
    return saturate(x, 8)


def sat10(x: Integers) -> Int64Array:
    """Clip to -512..511: attention scores."""
    return saturate(x, 10)


def sat16(x: Integers) -> Int64Array:
    """Clip to -32768..32767: residual stream, GELU input, gate logits, results."""
    return saturate(x, 16)


def requant(acc: Integers, bias: Integers, mult: Integers, shift: Integers) -> Int64Array:
    """``half_up((acc + bias) * mult, shift)``; the destination saturates."""
    total = np.asarray(acc, dtype=np.int64) + np.asarray(bias, dtype=np.int64)
    return half_up(total * np.asarray(mult, dtype=np.int64), shift)


def floor_log2(x: Integers) -> Int64Array:
    """Position of the highest set bit of each positive integer."""
    x = np.asarray(x, dtype=np.int64)
    if np.any(x <= 0):
        raise ValueError(f"floor_log2 takes positive integers, got {int(x.min())}")
    guess = np.frexp(x.astype(np.float64))[1].astype(np.int64) - 1
    return guess - (
        (x >> np.minimum(guess, 62)) == 0
    )  # above 2^53 the conversion may have rounded up to a power of two
