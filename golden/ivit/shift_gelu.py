"""GELU as ``x * sigmoid(1.702 x)`` with shift exponentials (ShiftGELU).

Source: ShiftGELU; released as `IntGELU`.
"""

import numpy as np

from golden.ivit.limits import ACCUMULATOR_MAX, check_product
from golden.ivit.shift_exp import shift_exp, unit
from golden.rounding import Integers
from hwgen.spec.tables import Int64Array

SLOPE = 1.702
EXP_BITS = 23  # n of the released checkpoints
SIGMOID_BITS = 8


def gelu_unit(scale: float) -> int:
    """``x0`` for codes of this scale."""
    return unit(scale * SLOPE)


def shift_sigmoid(x: Integers, x0: int, *, n: int = EXP_BITS) -> Int64Array:
    """``sigmoid(1.702 x)`` in units of 2^-7; x [.., hidden] are codes, ``x0 = gelu_unit(scale of x)``.

    Not point-wise: each value depends on the largest of its token (the last axis).
    """
    x = np.asarray(x, dtype=np.int64)
    if x.shape[-1] == 0:
        raise ValueError("a token has at least one hidden unit")
    top = x.max(axis=-1, keepdims=True)
    power, one = shift_exp(x - top, x0, n), shift_exp(-top, x0, n)
    factor = ACCUMULATOR_MAX // np.minimum(power + one, ACCUMULATOR_MAX)
    check_product("ShiftGELU", power, factor)
    return (power * factor) >> (31 - SIGMOID_BITS + 1)


def shift_gelu(x: Integers, x0: int, *, n: int = EXP_BITS) -> Int64Array:
    """GELU of codes x [.., hidden] of scale S, in units of ``S * 2^-7``."""
    return np.asarray(x, dtype=np.int64) * shift_sigmoid(x, x0, n=n)
