"""Single-pass softmax: exactness of the sum, error of probabilities and outputs, independence of order."""

import math
from fractions import Fraction

import numpy as np
import pytest

from golden.rounding import half_up
from golden.softmax import probabilities, row_factor, softmax_statistics
from hwgen.spec.tables import exp2_table, reciprocal_table

EXP2, RECIPROCAL = exp2_table(), reciprocal_table()


def score_rows(keys: int) -> np.ndarray:
    rng = np.random.default_rng(keys)
    drawn = [rng.normal(m, s, keys) for s in (0, 5, 40, 200) for m in (-300, 0, 300)]
    ends = [np.full(keys, -512), np.full(keys, 511), np.where(np.arange(keys) == keys // 2, 511, -512)]
    return np.clip(np.round(np.stack(drawn + ends)), -512, 511).astype(np.int64)


def real_softmax(scores: np.ndarray) -> np.ndarray:
    weight = np.exp2((scores - scores.max(axis=-1, keepdims=True)) / 32)
    return weight / weight.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("keys", [1, 2, 65, 129, 1024])
def test_statistics_restated_with_python_integers(keys: int):
    t = score_rows(keys)
    found = softmax_statistics(EXP2, t)
    for row, top, total in zip(t.tolist(), found.top.tolist(), found.total.tolist(), strict=True):
        assert top == max(math.floor(v / 32) for v in row)
        assert total == sum(int(EXP2[v % 32][0]) * 2 ** (math.floor(v / 32) + 16) for v in row)
        assert total < 2**54


def test_probabilities_restated_for_every_score_and_octave():
    """Every pair of score and top octave that can occur; the rounding is half-up of an exact fraction."""
    compared = 0
    for top in range(-16, 16):
        t = np.arange(-512, 32 * top + 32)
        found = probabilities(EXP2, t, np.array(top)).tolist()
        for v, u in zip(t.tolist(), found, strict=True):
            below = top - v // 32
            exact = Fraction(int(EXP2[v % 32][0]), 2 ** (6 + below)) + Fraction(1, 2)
            assert u == (math.floor(exact) if below <= 8 else 0)
            compared += 1
        assert min(found) >= 0
        assert max(found) == 125
    assert compared == sum(32 * (top + 17) for top in range(-16, 16))


@pytest.mark.parametrize("keys", [1, 2, 65, 129])
def test_normalised_probabilities_against_the_real_softmax(keys: int):
    """u times the row factor is the probability, within half a code of u and the reciprocal's error."""
    t = score_rows(keys)
    statistics = softmax_statistics(EXP2, t)
    u = probabilities(EXP2, t, statistics.top)
    mult, shift = row_factor(RECIPROCAL, statistics, 32768, 15)  # Mc * 2^-Sc = 1
    weight = mult * np.exp2(-shift.astype(float))
    error = np.abs(u * weight[:, None] - real_softmax(t))
    assert np.all(error <= 0.505 * weight[:, None] + 2**-11 * real_softmax(t) + 1e-9)
    assert np.abs((u * weight[:, None]).sum(axis=1) - 1).max() < 0.01 * math.sqrt(keys) + 0.01


def test_row_factor_by_hand():
    """Four equal scores of zero: sum = 4 * 2^12 * 2^16 = 2^30, u = 64 each, 64 * 4 * factor = 1."""
    statistics = softmax_statistics(EXP2, np.zeros((1, 4), dtype=np.int64))
    assert (statistics.top.tolist(), statistics.total.tolist()) == ([0], [2**30])
    mult, shift = row_factor(RECIPROCAL, statistics, 40000, 20)
    assert (mult.tolist(), shift.tolist()) == ([40000], [20 + 30 - 22])
    mult, shift = row_factor(RECIPROCAL, softmax_statistics(EXP2, np.full((1, 3), -512)), 65535, 30)
    # sum = 3 * 2^12, L = 13; reciprocal of 1.5
    assert shift.tolist() == [30 + 13 + 16 - 22]
    assert mult.tolist() == [half_up(RECIPROCAL[64, 0] * 65535, 15)]


def test_row_factor_shift_stays_in_range():
    for keys in (1, 2, 129, 1024):
        _, shift = row_factor(RECIPROCAL, softmax_statistics(EXP2, score_rows(keys)), 65535, 30)
        assert shift.min() >= 36
        assert shift.max() <= 47


@pytest.mark.parametrize("score", [-512, -1, 0, 31, 32, 511])
def test_single_key_gives_its_value_back(score: int):
    """One key: probability one, so an int8 value passes unchanged at equal scales."""
    t = np.array([[score]])
    statistics = softmax_statistics(EXP2, t)
    mult, shift = row_factor(RECIPROCAL, statistics, 32768, 15)
    value = np.arange(-127, 128)
    out = half_up(probabilities(EXP2, t, statistics.top) * value * mult[:, None], shift[:, None])
    assert np.abs(out[0] - value).max() <= 1  # u has seven bits
    if score % 32 == 0:
        assert np.array_equal(out[0], value)


def test_order_of_keys_does_not_matter():
    t = score_rows(129)
    value = np.random.default_rng(1).integers(-127, 128, (129, 16))
    results = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(129)
        statistics = softmax_statistics(EXP2, t[:, order])
        u = probabilities(EXP2, t[:, order], statistics.top)
        mult, shift = row_factor(RECIPROCAL, statistics, 50000, 16)
        results.append(half_up((u @ value[order]) * mult[:, None], shift[:, None]))
    assert all(np.array_equal(results[0], other) for other in results[1:])
    assert len(np.unique(results[0])) > 50


def test_row_factor_saturates():
    """A table that rounds above one would carry the factor past 16 bits."""
    table = RECIPROCAL.copy()
    table[0] = (32769, 0)
    mult, _ = row_factor(table, softmax_statistics(EXP2, np.zeros((1, 1), dtype=np.int64)), 65535, 15)
    assert mult.tolist() == [65535]
