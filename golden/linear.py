"""Matrix product of int8 rows and its requantisation."""

import numpy as np

from golden.rounding import Integers, half_up, requant, sat16
from hwgen.spec.tables import Int64Array

EXACT = 2**53  # float64 holds every integer up to here


def accumulate(rows: Integers, weight: Integers) -> Int64Array:
    """Exact ``rows @ weight.T``; rows [.., in], weight [out, in], all codes within int8.

    The product is carried by float64: |partial sum| <= in * 2^14, far below 2^53.
    """
    rows, weight = np.asarray(rows), np.asarray(weight)
    if rows.shape[-1] * 2**14 >= EXACT:
        raise ValueError(f"{rows.shape[-1]} inputs do not fit an exact float64 sum")
    return (rows.astype(np.float64) @ weight.astype(np.float64).T).astype(np.int64)


def linear(rows: Integers, weight: Integers, bias: Integers, mult: Integers, shift: Integers) -> Int64Array:
    """``requant(rows @ weight.T)``, not saturated: the destination says how."""
    return requant(accumulate(rows, weight), bias, mult, shift)


def add_residual(residual: Integers, update: Integers) -> Int64Array:
    """``sat16(residual + sat16(update))``."""
    return sat16(np.asarray(residual, dtype=np.int64) + sat16(update))


def add_scored(residual: Integers, update: Integers, score: Integers) -> Int64Array:
    """``sat16(residual + half_up(sat16(update) * score, 15))``; score UQ1.15, one per row."""
    scaled = half_up(sat16(update) * np.asarray(score, dtype=np.int64)[..., None], 15)
    return sat16(np.asarray(residual, dtype=np.int64) + scaled)
