"""Gate: top-K experts of each token and their softmax scores."""

import numpy as np

from golden.reciprocal import reciprocal
from golden.rounding import Integers, half_up
from golden.table import direct
from hwgen.spec.numerics import NUMERICS
from hwgen.spec.tables import Int64Array

FRACTION_BITS = NUMERICS.gate_fraction_bits


def top_k(logits: Integers, count: int) -> Int64Array:
    """The ``count`` experts with the largest logits of each token, ties to the lower index; indices ascending."""
    logits = np.asarray(logits, dtype=np.int64)
    if not 1 <= count <= logits.shape[-1]:
        raise ValueError(f"top_k takes 1..{logits.shape[-1]} experts, got {count}")
    order = np.argsort(-logits, axis=-1, kind="stable")
    return np.sort(order[..., :count], axis=-1).astype(np.int64)


def gate_exponentials(gate_exp2: Int64Array, logits: Integers) -> Int64Array:
    """``2^(g - max g)`` of each logit, UQ1.15; the largest is exactly 32768."""
    logits = np.asarray(logits, dtype=np.int64)
    distance = logits.max(axis=-1, keepdims=True) - logits
    octaves = distance >> FRACTION_BITS
    value = direct(gate_exp2, distance & (2**FRACTION_BITS - 1))
    return np.where(octaves > 15, 0, value >> np.minimum(octaves, 15))


def gate(
    gate_exp2: Int64Array, reciprocal_table: Int64Array, logits: Integers, count: int, *, renormalise: bool = False
) -> tuple[Int64Array, Int64Array]:
    """(experts, scores) [tokens, count]: chosen experts ascending and their UQ1.15 scores in that order."""
    chosen = top_k(logits, count)
    exponentials = gate_exponentials(gate_exp2, logits)
    taken = np.take_along_axis(exponentials, chosen, axis=-1)
    total = (taken if renormalise else exponentials).sum(axis=-1, keepdims=True)
    value, exponent = reciprocal(reciprocal_table, total)
    return chosen, half_up(taken * value, exponent)
