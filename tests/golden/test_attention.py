"""One attention head against the real function, and the properties of the reordered schedule."""

import numpy as np
import pytest

from golden.attention import context, reordered_schedule, schedule_steps, scores
from golden.softmax import probabilities, row_factor, softmax_statistics
from hwgen.spec.tables import exp2_table, reciprocal_table

TABLES = exp2_table(), reciprocal_table()


def head(tokens: int, head_dim: int, seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(np.clip(np.round(rng.normal(0, 35, (tokens, head_dim))), -127, 127).astype(np.int64) for _ in range(3))


def test_scores_round_and_saturate():
    query, key = np.array([[1, 2], [127, 127]]), np.array([[1, 0], [-3, 0], [127, 127], [-127, -127]])
    assert scores(query, key, 0, 1, 1).tolist() == [[1, -1, 191, -190], [64, -190, 511, -512]]
    assert scores(query, key, 1, 1, 1).tolist() == [[1, -1, 191, -190], [64, -190, 511, -512]]
    assert scores(query, key, -1, 1, 0).tolist() == [[0, -4, 380, -382], [126, -382, 511, -512]]


@pytest.mark.parametrize("tokens", [2, 65, 129])
def test_context_against_float(tokens: int):
    query, key, value = head(tokens, 64, tokens)
    t = scores(query, key, 1000, 40000, 23)
    out = context(*TABLES, t, value, 40000, 14)
    weight = np.exp2((t - t.max(axis=1, keepdims=True)) / 32)
    real = np.clip((weight @ value) / weight.sum(axis=1, keepdims=True) * 40000 / 2**14, -127, 127)
    assert t.std() > 10
    assert np.abs(out - real).max() <= 4.5  # seven-bit probabilities
    assert np.sqrt(((out - real) ** 2).mean()) <= 1.0
    assert out.std() > 5


def test_context_restated_row_by_row():
    query, key, value = head(17, 8, 1)
    t = scores(query, key, 0, 50000, 19)
    out = context(*TABLES, t, value, 50000, 15)
    for row in range(17):
        statistics = softmax_statistics(TABLES[0], t[row])
        u = probabilities(TABLES[0], t[row], statistics.top)
        mult, shift = row_factor(TABLES[1], statistics, 50000, 15)
        for channel in range(8):
            acc = sum(int(a) * int(v) for a, v in zip(u, value[:, channel], strict=True))
            power = 2 ** int(shift)
            exact = (2 * acc * int(mult) + power) // (2 * power)
            assert out[row, channel] == max(-127, min(127, exact))


def test_order_of_keys_and_queries_does_not_matter():
    query, key, value = head(40, 16, 2)
    order = np.random.default_rng(0).permutation(40)
    first = context(*TABLES, scores(query, key, 5, 50000, 20), value, 50000, 15)
    second = context(*TABLES, scores(query[order], key[order[::-1]], 5, 50000, 20), value[order[::-1]], 50000, 15)
    assert np.array_equal(first[order], second)
    assert len(np.unique(first)) > 30


@pytest.mark.parametrize("lanes", range(1, 17))
def test_schedule_properties(lanes: int):
    """Every pair once, queries in order, one key and one new query a step, and the step formula."""
    for queries in range(2, 71):
        steps = list(reordered_schedule(queries, lanes, queries))
        visited = [(visit.query, visit.key) for step in steps for visit in step.visits]
        assert sorted(visited) == [(q, k) for q in range(queries) for k in range(queries)]
        assert [step.enters for step in steps if step.enters is not None] == list(range(queries))
        assert [step.finishes for step in steps if step.finishes is not None] == list(range(queries))
        seen: dict[int, tuple[int, int]] = {}
        for time, step in enumerate(steps):
            assert {visit.key for visit in step.visits} <= {step.key}
            assert len({visit.lane for visit in step.visits}) == len(step.visits) <= lanes
            assert all(visit.lane == visit.query % lanes for visit in step.visits)
            for visit in step.visits:
                seen[visit.query] = (seen.get(visit.query, (time, 0))[0], time)
        assert all(steps[first].enters == q and steps[last].finishes == q for q, (first, last) in seen.items()) or (
            queries < lanes
        )
        if queries >= lanes:
            formula = (queries + lanes - 1) // lanes * queries + (queries + lanes - 1) % lanes
            assert len(steps) == formula == schedule_steps(queries, lanes, queries)


@pytest.mark.parametrize(("queries", "lanes", "keys"), [(129, 4, 5), (7, 4, 4), (65, 8, 3), (3, 16, 1), (10, 5, 70)])
def test_schedule_with_other_numbers_of_keys(queries: int, lanes: int, keys: int):
    """Tiles of keys: more or fewer than queries, and fewer than lanes."""
    steps = list(reordered_schedule(queries, lanes, keys))
    visited = [(visit.query, visit.key) for step in steps for visit in step.visits]
    assert sorted(visited) == [(q, k) for q in range(queries) for k in range(keys)]
    assert [step.enters for step in steps if step.enters is not None] == list(range(queries))
    assert [step.finishes for step in steps if step.finishes is not None] == list(range(queries))
    assert len(steps) == schedule_steps(queries, lanes, keys)
    entered, finished, first, last = {}, {}, {}, {}
    for time, step in enumerate(steps):
        entered[step.enters], finished[step.finishes] = time, time
        for visit in step.visits:
            first.setdefault(visit.query, time)
            last[visit.query] = time
    assert all(entered[q] <= first[q] <= last[q] <= finished[q] for q in range(queries))
    assert all(finished[q] < entered[q + lanes] for q in range(queries - lanes))


def test_schedule_by_hand():
    """Three queries and keys on two lanes, drawn in full."""
    steps = list(reordered_schedule(3, 2, 3))
    assert [tuple(tuple(visit) for visit in step.visits) for step in steps] == [
        ((0, 0, 0),),
        ((0, 0, 1), (1, 1, 1)),
        ((0, 0, 2), (1, 1, 2)),
        ((0, 2, 0), (1, 1, 0)),
        ((0, 2, 1),),
        ((0, 2, 2),),
    ]
    assert [step.enters for step in steps] == [0, 1, None, 2, None, None]
    assert [step.finishes for step in steps] == [None, None, 0, 1, None, 2]
