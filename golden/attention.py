"""Attention of one head, and the reordered schedule that reads one key tile and one query row a step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from golden.linear import accumulate
from golden.rounding import Integers, requant, sat8, sat10
from golden.softmax import probabilities, row_factor, softmax_statistics
from hwgen.spec.tables import Int64Array


def scores(query: Integers, key: Integers, bias: Integers, mult: Integers, shift: Integers) -> Int64Array:
    """10-bit scores [queries, keys] of one head in 1/32 octave; query and key are [tokens, head_dim]."""
    return sat10(requant(accumulate(query, key), bias, mult, shift))


def context(
    exp2: Int64Array, reciprocal: Int64Array, score: Integers, value: Integers, mult: Integers, shift: Integers
) -> Int64Array:
    """int8 attention output [queries, head_dim] of one head; value is [keys, head_dim], (mult, shift) the layer's."""
    statistics = softmax_statistics(exp2, score)
    weight = probabilities(exp2, score, statistics.top)
    row_mult, row_shift = row_factor(reciprocal, statistics, mult, shift)
    product = accumulate(weight, np.asarray(value).T)
    return sat8(requant(product, 0, row_mult[:, None], row_shift[:, None]))


class Visit(NamedTuple):
    """One lane works on one query and one key (tile)."""

    lane: int
    query: int
    key: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the reordered schedule."""

    key: int | None  # key (tile) read and shared by all lanes; None: a waiting step
    enters: int | None  # query row loaded into its lane
    finishes: int | None  # query whose lane becomes free after this step
    visits: tuple[Visit, ...]


def schedule_steps(queries: int, lanes: int, keys: int) -> int:
    """Steps of the reordered schedule; a block of queries takes at least one step per lane."""
    return (queries + lanes - 1) // lanes * max(keys, lanes) + (queries + lanes - 1) % lanes


def reordered_schedule(queries: int, lanes: int, keys: int) -> Iterator[Step]:
    """Constant-bandwidth order: at key k of block b, lane o works on query ``b * lanes + o``, or a block back if k < o.

    Lane o starts o steps late and wraps around: it visits keys o..keys-1, then 0..o-1. With fewer keys than lanes a
    block begins with ``lanes - keys`` steps in which no lane works; queries still finish in ascending order.
    """
    period = max(keys, lanes)
    for step in range(schedule_steps(queries, lanes, keys)):
        block, slot = divmod(step, period)
        key = slot - (period - keys) if slot >= period - keys else None
        working = [(lane, (block if slot >= lane else block - 1) * lanes + lane) for lane in range(lanes)]
        working = [(lane, query) for lane, query in working if 0 <= query < queries]
        visits = () if key is None else tuple(Visit(lane, query, key) for lane, query in working)
        enters = block * lanes + slot if slot < lanes and block * lanes + slot < queries else None
        leaving = (slot + 1) % period  # this lane takes its next query at the next step
        finished = (block if slot + 1 == period else block - 1) * lanes + leaving
        finishes = finished if leaving < lanes and 0 <= finished < queries else None
        yield Step(key=key if visits else None, enters=enters, finishes=finishes, visits=visits)
