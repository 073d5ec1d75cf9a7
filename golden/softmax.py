"""Single-pass softmax over scores in 1/32 octave: order-free statistics, 7-bit probabilities, one factor per row."""

from dataclasses import dataclass

import numpy as np

from golden.reciprocal import reciprocal
from golden.rounding import Integers, half_up
from golden.table import direct
from hwgen.spec.numerics import NUMERICS
from hwgen.spec.tables import Int64Array

FRACTION_BITS = NUMERICS.score_fraction_bits
OCTAVE_BIAS = 16  # makes every octave of a 10-bit score a left shift
WINDOW_OCTAVES = 8  # below the row's top octave by more than this, a probability is zero
SUM_SHIFT = 22  # 16 of the octave bias and 6 of the probability


@dataclass(frozen=True, kw_only=True)
class SoftmaxStatistics:
    """What one pass over a row of scores leaves behind; one value per row."""

    top: Int64Array  # m, largest octave
    total: Int64Array  # exact sum of exponentials


def _exponential(table: Int64Array, scores: Int64Array) -> tuple[Int64Array, Int64Array]:
    """(octave, E) of each score: ``2^(t/32) = E * 2^-12 * 2^octave``."""
    return scores >> FRACTION_BITS, direct(table, scores & (2**FRACTION_BITS - 1))


def softmax_statistics(exp2: Int64Array, scores: Integers) -> SoftmaxStatistics:
    """Largest octave and exact sum over the last axis."""
    octave, mantissa = _exponential(exp2, np.asarray(scores, dtype=np.int64))
    return SoftmaxStatistics(top=octave.max(axis=-1), total=(mantissa << (octave + OCTAVE_BIAS)).sum(axis=-1))


def probabilities(exp2: Int64Array, scores: Integers, top: Integers) -> Int64Array:
    """0..127, relative to the row's top octave; ``top`` has one value per row."""
    octave, mantissa = _exponential(exp2, np.asarray(scores, dtype=np.int64))
    below = np.asarray(top, dtype=np.int64)[..., None] - octave
    inside = below <= WINDOW_OCTAVES
    return np.where(inside, half_up(mantissa, 6 + np.where(inside, below, 0)), 0)


def row_factor(
    table: Int64Array, statistics: SoftmaxStatistics, mult: Integers, shift: Integers
) -> tuple[Int64Array, Int64Array]:
    """(M_row, S_row) that turns a sum of ``u * v`` into an attention output code; (mult, shift) are the layer's."""
    value, exponent = reciprocal(table, statistics.total)
    row_mult = np.minimum(half_up(value * np.asarray(mult, dtype=np.int64), 15), 65535)
    return row_mult, np.asarray(shift, dtype=np.int64) + exponent - statistics.top - SUM_SHIFT
