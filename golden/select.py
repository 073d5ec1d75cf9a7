"""Tokens that leave: exact importance of every position, the choice of the most important, and the row of the others.

Definitions and widths: docs/numerics.md, "Tokens that leave".
"""

import numpy as np

from golden.reciprocal import reciprocal
from golden.rounding import Integers, half_up, sat16
from golden.softmax import FRACTION_BITS, softmax_statistics
from golden.table import direct
from hwgen.spec.numerics import FUSED_WEIGHT_BITS, IMPORTANCE_BITS, IMPORTANCE_FRACTION_BITS, NUMERICS
from hwgen.spec.tables import Int64Array

# E has 12 fraction bits, R 15, and the sum 16 for the octave bias and E's 12 once more
IMPORTANCE_SHIFT = 16 + IMPORTANCE_FRACTION_BITS - NUMERICS.reciprocal_bits  # 25
NOTHING_SHIFT = 29  # from this shift on a product of 28 bits rounds to zero
WEIGHT_SHIFT = IMPORTANCE_FRACTION_BITS + 16 - FUSED_WEIGHT_BITS  # 25
LARGEST_WEIGHT = 2**FUSED_WEIGHT_BITS - 1


def importance(exp2: Int64Array, reciprocal_table: Int64Array, scores: Integers) -> Int64Array:
    """Attention [N] that the query of each row of ``scores`` [heads, N] pays to N keys, UQ.24, summed over the heads.

    Each head's part is rounded once; their sum is exact, so the order of heads is free.
    """
    scores = np.atleast_2d(np.asarray(scores, dtype=np.int64))
    value, exponent = reciprocal(reciprocal_table, softmax_statistics(exp2, scores).total)
    product = direct(exp2, scores & (2**FRACTION_BITS - 1)) * value[:, None]
    shift = np.minimum(exponent[:, None] - (scores >> FRACTION_BITS) - IMPORTANCE_SHIFT, NOTHING_SHIFT)
    total: Int64Array = half_up(product, shift).sum(axis=0)
    if total.max() >> IMPORTANCE_BITS:
        raise ValueError(f"{len(scores)} heads sum to {int(total.max())}, above {IMPORTANCE_BITS} bits")
    return total


def kept(importance: Integers, prefix: int, keep: int) -> Int64Array:
    """Ascending positions that stay: the ``prefix`` first, and ``keep`` of the others with the largest importance.

    Ties go to the lower position. ValueError unless 1 <= keep <= the number of others.
    """
    others = np.asarray(importance, dtype=np.int64)[prefix:]
    if not 1 <= keep <= others.size:
        raise ValueError(f"keep {keep} of {others.size} positions behind the first {prefix}")
    order = np.argsort(-others, kind="stable")[:keep]
    return np.concatenate([np.arange(prefix), prefix + np.sort(order)]).astype(np.int64)


def fused_weights(importance: Integers, weight: int) -> Int64Array:
    """UQ1.15 weights of the rows that go into the fused one, from their importance; below one."""
    return np.minimum(half_up(np.asarray(importance, dtype=np.int64) * weight, WEIGHT_SHIFT), LARGEST_WEIGHT)


def fused_row(weights: Integers, rows: Integers) -> Int64Array:
    """The sum [channels] of ``rows`` [dropped, channels] of the residual stream times their ``weights`` [dropped].

    The weights are not made to sum to one. The sum is exact, then rounded and saturated once.
    """
    total = np.asarray(weights, dtype=np.int64) @ np.asarray(rows, dtype=np.int64)
    return sat16(half_up(total, FUSED_WEIGHT_BITS))
