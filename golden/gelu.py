"""GELU: ReLU minus an even, bounded delta table."""

import numpy as np

from golden.rounding import Integers, half_up, sat8
from golden.table import interpolate
from hwgen.spec.tables import GELU_ENTRIES, Int64Array

STEP_BITS = 6  # fraction bits below one table step of 1/32


def gelu(table: Int64Array, z: Integers) -> Int64Array:
    """GELU of Q5.11 codes as Q.16 codes."""
    z = np.asarray(z, dtype=np.int64)
    magnitude = np.abs(z)
    index = magnitude >> STEP_BITS
    inside = np.minimum(index, GELU_ENTRIES - 1)
    delta = interpolate(table, inside, magnitude & (2**STEP_BITS - 1), STEP_BITS)
    return (np.maximum(z, 0) << 5) - np.where(index < GELU_ENTRIES, delta, 0)


def hidden(table: Int64Array, z: Integers, mult: Integers, shift: Integers, zero: Integers) -> Int64Array:
    """int8 hidden activation of Q5.11 codes: ``sat8(half_up(gelu(z) * mult, shift) + zero)``."""
    return sat8(half_up(gelu(table, z) * np.asarray(mult, dtype=np.int64), shift) + np.asarray(zero, dtype=np.int64))
