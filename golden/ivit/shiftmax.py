"""Softmax from shift exponentials and one integer division a row (Shiftmax).

Source: Shiftmax; released as `IntSoftmax`.
"""

import numpy as np

from golden.ivit.limits import ACCUMULATOR_MAX, check_product
from golden.ivit.shift_exp import shift_exp
from golden.rounding import Integers
from hwgen.spec.tables import Int64Array

EXP_BITS = 15  # n of the released checkpoints
OUTPUT_BITS = 16


def shiftmax(x: Integers, x0: int, *, n: int = EXP_BITS, bits: int = OUTPUT_BITS) -> Int64Array:
    """Probabilities in units of ``2^-(bits-1)`` over the last axis of codes x [.., keys], ``x0 = unit(scale of x)``.

    Needs the row's maximum before the first exponential. The sum is clamped to 2^31 - 1: above, which is when
    ``keys * -x0 * 2^n`` may pass 2^31, the row sums to more than one.
    """
    x = np.asarray(x, dtype=np.int64)
    if x.shape[-1] == 0:
        raise ValueError("a row has at least one key")
    powers = shift_exp(x - x.max(axis=-1, keepdims=True), x0, n)
    total = np.minimum(powers.sum(axis=-1, keepdims=True), ACCUMULATOR_MAX)
    factor = ACCUMULATOR_MAX // total
    check_product("Shiftmax", powers, factor)
    return (powers * factor) >> (31 - bits + 1)
