"""Gate: selection, ties and scores."""

import math

import numpy as np
import pytest

from golden.gate import gate, gate_exponentials, top_k
from hwgen.spec.tables import gate_exp2_table, reciprocal_table

TABLES = gate_exp2_table(), reciprocal_table()


def naive_top_k(row: list[int], count: int) -> list[int]:
    chosen: list[int] = []
    for _ in range(count):
        best = max(value for index, value in enumerate(row) if index not in chosen)
        chosen.append(next(i for i, value in enumerate(row) if value == best and i not in chosen))
    return sorted(chosen)


@pytest.mark.parametrize(("experts", "count"), [(e, k) for e in (1, 2, 5, 16) for k in range(1, e + 1)])
def test_top_k_with_many_ties(experts: int, count: int):
    logits = np.random.default_rng(count).integers(-2, 3, (200, experts))
    assert top_k(logits, count).tolist() == [naive_top_k(row, count) for row in logits.tolist()]


def test_ties_go_to_the_lower_index():
    logits = np.array([[7, 7, 7, 7], [0, 9, 9, 9], [-32768, -32768, 32767, -32768], [1, 5, 1, 1]])
    assert top_k(logits, 2).tolist() == [[0, 1], [1, 2], [0, 2], [0, 1]]


@pytest.mark.parametrize("count", [0, 5])
def test_top_k_refuses_other_counts(count: int):
    with pytest.raises(ValueError, match=rf"1..4 experts, got {count}"):
        top_k(np.zeros((1, 4), dtype=np.int64), count)


def test_exponential_of_every_distance():
    """All 65536 distances: floor of the table value, zero below 2^-15."""
    table = TABLES[0]
    distance = np.arange(65536)
    logits = np.stack([np.full(65536, 32767), 32767 - distance], axis=1)
    found = gate_exponentials(table, logits)
    assert set(found[:, 0].tolist()) == {32768}
    exact = [int(table[d % 256, 0]) // 2 ** (d // 256) if d < 4096 else 0 for d in range(65536)]
    assert found[:, 1].tolist() == exact
    assert np.abs(found[:, 1] / 2**15 - np.exp2(-distance / 256)).max() <= 2**-15


@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize("spread", [0, 50, 600])
def test_scores_against_the_real_softmax(spread: int, renormalise: bool):
    experts, count = 16, 4
    logits = np.clip(np.round(np.random.default_rng(spread).normal(0, spread, (500, experts))), -32768, 32767)
    chosen, score = gate(*TABLES, logits.astype(np.int64), count, renormalise=renormalise)
    weight = np.exp2((logits - logits.max(axis=1, keepdims=True)) / 256)
    taken = np.take_along_axis(weight, chosen, axis=1)
    real = taken / (taken if renormalise else weight).sum(axis=1, keepdims=True)
    assert np.abs(score / 2**15 - real).max() <= 6e-4
    assert score.min() >= 0
    assert score.max() <= 32768
    if renormalise:
        assert np.abs(score.sum(axis=1) - 32768).max() <= 8
    else:
        assert score.sum(axis=1).min() < 32000  # the scores of the other experts are missing


def test_scores_restated_with_python_integers():
    exp2, table = TABLES
    logits = np.random.default_rng(8).integers(-1500, 1500, (300, 6))
    for renormalise in (False, True):
        chosen, score = gate(exp2, table, logits, 3, renormalise=renormalise)
        for row, picked, got in zip(logits.tolist(), chosen.tolist(), score.tolist(), strict=True):
            x = [int(exp2[(max(row) - g) % 256][0]) >> ((max(row) - g) // 256) for g in row]
            total = sum(x[e] for e in picked) if renormalise else sum(x)
            power = total.bit_length() - 1
            w = total * 2**17 // 2**power
            base, slope = table[w // 1024 - 128].tolist()
            r = base + math.floor(slope * (w % 1024) / 1024 + 0.5)
            assert got == [math.floor(x[e] * r / 2**power + 0.5) for e in picked]


def test_exact_scores():
    """One dominant expert scores exactly one; E equal experts score exactly 1/E when E is a power of two."""
    _, score = gate(*TABLES, np.array([[0, 20000, 0, -5]]), 1)
    assert score.tolist() == [[32768]]
    for experts in (1, 2, 4, 8, 16):
        chosen, score = gate(*TABLES, np.full((1, experts), -77), experts)
        assert chosen.tolist() == [list(range(experts))]
        assert score.tolist() == [[32768 // experts] * experts]


def test_renormalised_single_expert_scores_one():
    logits = np.random.default_rng(2).integers(-500, 500, (50, 8))
    chosen, score = gate(*TABLES, logits, 1, renormalise=True)
    assert chosen[:, 0].tolist() == logits.argmax(axis=1).tolist()
    assert set(score.ravel().tolist()) == {32768}
