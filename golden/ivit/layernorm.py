"""LayerNorm with an integer square root of ten Newton steps (I-LayerNorm).

Source: I-LayerNorm; released as `IntLayerNorm`.
"""

import math

import numpy as np
from numpy.typing import NDArray

from golden.ivit.limits import ACCUMULATOR_MAX, INT64_BITS, check_product, largest_magnitude
from golden.rounding import Integers
from hwgen.spec.tables import Int64Array

NEWTON_START = 2**16
NEWTON_STEPS = 10


def rounded_mean(x: Integers) -> Int64Array:
    """Mean over the last axis, rounded to nearest, halves to the even neighbour; shape [.., 1]."""
    x = np.asarray(x, dtype=np.int64)
    count = x.shape[-1]
    total = x.sum(axis=-1, keepdims=True)
    floor = total // count
    rest = 2 * (total - floor * count)
    return floor + ((rest > count) | ((rest == count) & ((floor & 1) == 1)))


def newton_sqrt(v: Integers, steps: int = NEWTON_STEPS) -> Int64Array:
    """About ``sqrt(v)`` of non-negative integers; never below ``2^16 >> steps``, too large for v below 200^2."""
    v = np.asarray(v, dtype=np.int64)
    root = np.full_like(v, NEWTON_START)
    for _ in range(steps):
        root = (root + v // root) >> 1
    return root


def layernorm_bias(beta: NDArray[np.floating], gamma: NDArray[np.floating]) -> Int64Array:
    """``beta / gamma`` in units of ``sqrt(C) / 2^30``, floored; ValueError names the channels with gamma zero."""
    dead = np.flatnonzero(np.asarray(gamma) == 0)
    if dead.size:
        raise ValueError(f"I-LayerNorm divides by gamma, which is zero in channels {dead.tolist()}")
    ratio = np.asarray(beta, dtype=np.float64) / np.asarray(gamma, dtype=np.float64)
    return np.floor(ratio * 2**30 / math.sqrt(ratio.size)).astype(np.int64)


def layernorm(x: Integers, bias: Integers = 0, *, steps: int = NEWTON_STEPS) -> Int64Array:
    """Normalised rows of codes x [.., C] in units of ``gamma * sqrt(C) / 2^30``; bias [C] is `layernorm_bias`'s.

    The sum of squares needs 2 * 16 + log2 C bits for 16-bit codes: more than 32 from a deviation of 4.7k at C = 192.
    """
    x = np.asarray(x, dtype=np.int64)
    centred = x - rounded_mean(x)
    largest = largest_magnitude(centred)
    if largest * largest * x.shape[-1] >= 2**INT64_BITS:
        raise OverflowError(f"I-LayerNorm: {x.shape[-1]} squares of up to {largest} exceed 63 bits")
    factor = ACCUMULATOR_MAX // newton_sqrt((centred * centred).sum(axis=-1, keepdims=True), steps)
    check_product("I-LayerNorm", centred, factor)
    return ((centred * factor) >> 1) + np.asarray(bias, dtype=np.int64)
