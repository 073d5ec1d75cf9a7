"""Tokens that leave: importance against exact rationals, the choice against a stable sort, the fused row."""

from fractions import Fraction

import numpy as np
import pytest

from golden.layernorm import layernorm
from golden.rounding import half_up
from golden.select import fused_row, fused_weights, importance, kept
from golden.softmax import probabilities, row_factor, softmax_statistics
from hwgen.spec.numerics import IMPORTANCE_BITS, MAX_OBSERVED_HEADS, importance_weight
from hwgen.spec.tables import default_tables

TABLES = default_tables()
EXP2, RECIPROCAL = TABLES["exp2"], TABLES["reciprocal"]
ONE = 2**24
RECIPROCAL_ERROR = Fraction(7, 100_000)  # relative, docs/numerics.md


def score_rows(heads: int, keys: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spread = rng.choice([0, 5, 40, 200], size=(heads, 1))
    drawn = rng.normal(rng.choice([-300, 0, 300], size=(heads, 1)), spread, (heads, keys))
    return np.clip(np.rint(drawn), -512, 511).astype(np.int64)


def chosen_by_sorting(values: list[int], prefix: int, keep: int) -> list[int]:
    """By Python's stable sort."""
    others = sorted(range(prefix, len(values)), key=lambda position: -values[position])
    return list(range(prefix)) + sorted(others[:keep])


@pytest.mark.parametrize("keys", [1, 2, 65, 197, 1024])
def test_importance_restated_with_rationals(keys: int):
    """Every head's part is the exact quotient, rounded once, half upwards; and the shift is where it should be."""
    scores = score_rows(12, keys, keys)
    statistics = softmax_statistics(EXP2, scores)
    total = [0] * keys
    for row, divisor in zip(scores.tolist(), statistics.total.tolist(), strict=True):
        level = divisor.bit_length() - 1
        mantissa = (divisor << 17) >> level
        base, slope = RECIPROCAL[(mantissa >> 10) & 127].tolist()
        value = base + int(half_up(slope * (mantissa & 1023), 10))
        for j, t in enumerate(row):
            shift = level - (t >> 5) - 25
            assert shift >= 3
            exact = Fraction(int(EXP2[t & 31, 0]) * value, 2**shift)
            total[j] += int(exact + Fraction(1, 2))
    assert importance(EXP2, RECIPROCAL, scores).tolist() == total


@pytest.mark.parametrize("heads", [1, 3, 16])
def test_importance_is_the_probability_within_a_last_place_a_head(heads: int):
    """Against the rational softmax of the table's exponentials: half a last place, and the error of the reciprocal."""
    for seed in range(4):
        scores = score_rows(heads, 129, seed)
        found = importance(EXP2, RECIPROCAL, scores)
        exact = [Fraction(0)] * 129
        for row in scores.tolist():
            terms = [int(EXP2[t & 31, 0]) << (t >> 5) + 16 for t in row]
            whole = sum(terms)
            exact = [before + Fraction(term * ONE, whole) for before, term in zip(exact, terms, strict=True)]
        for a, real in zip(found.tolist(), exact, strict=True):
            assert abs(a - real) <= heads * Fraction(1, 2) + RECIPROCAL_ERROR * real
        rounded = [abs(a - real) for a, real in zip(found.tolist(), exact, strict=True) if real < 1000]
        assert all(error <= heads for error in rounded)


def test_importance_limits():
    """One token with all the attention; all alike; the last shift that can give one, and the first that cannot."""
    alone = np.full((1, 129), -512)
    alone[0, 7] = 511
    found = importance(EXP2, RECIPROCAL, alone)
    assert found[7] >= ONE - 1100
    assert found.sum() == found[7]
    assert importance(EXP2, RECIPROCAL, np.zeros((3, 1), dtype=np.int64)).tolist() == [3 * ONE]
    equal = importance(EXP2, RECIPROCAL, np.full((2, 64), 32))
    assert equal.tolist() == [2 * ONE // 64] * 64
    far = [int(importance(EXP2, RECIPROCAL, np.array([[480, 480 - 32 * octaves]]))[1]) for octaves in range(20, 30)]
    assert far == [16, 8, 4, 2, 1, 1, 0, 0, 0, 0]


def test_sixteen_heads_fit_their_bits_and_no_more():
    """The largest exponential times the largest reciprocal that a package may hold, at every mantissa."""
    exp2, table = EXP2.copy(), RECIPROCAL.copy()
    exp2[:, 0] = 8159
    table[:] = (32768, 0)
    row = np.array([[31, -512]])
    a = importance(exp2, table, row)
    assert a[0] == 8159 * 32768 // 8
    assert a[0] < 2**25
    whole = importance(exp2, table, np.repeat(row, MAX_OBSERVED_HEADS, axis=0))
    assert whole[0].item().bit_length() == IMPORTANCE_BITS
    with pytest.raises(ValueError, match="17 heads sum to 568127488, above 29 bits"):
        importance(exp2, table, np.repeat(row, MAX_OBSERVED_HEADS + 1, axis=0))


def test_order_of_heads_and_keys_does_not_matter():
    scores = score_rows(6, 65, 3)
    found = importance(EXP2, RECIPROCAL, scores)
    rng = np.random.default_rng(1)
    order = rng.permutation(65)
    assert np.array_equal(importance(EXP2, RECIPROCAL, scores[rng.permutation(6)][:, order]), found[order])
    assert len(np.unique(found)) > 30


def test_kept_equals_a_stable_sort():
    """More than 10^5 rows, most of them with ties at the threshold, prefixes and every K among them."""
    rng = np.random.default_rng(7)
    ties, compared = 0, 0
    while compared < 100_000:
        count = int(rng.integers(1, 24))
        levels = int(rng.choice([1, 2, 3, 8, 2**29]))
        values = rng.integers(0, levels, (500, count))
        prefix = int(rng.integers(0, count))
        keep = int(rng.integers(1, count - prefix + 1))
        for row in values.tolist():
            found = kept(np.array(row), prefix, keep).tolist()
            assert found == chosen_by_sorting(row, prefix, keep)
            left = [row[j] for j in range(prefix, count) if j not in found]
            ties += bool(left) and max(left) == min(row[j] for j in found[prefix:])
            compared += 1
    assert ties > 30_000


def test_kept_limits():
    assert kept(np.array([5, 5, 5, 5]), 1, 2).tolist() == [0, 1, 2]
    assert kept(np.array([0, 1, 9, 1]), 1, 1).tolist() == [0, 2]
    assert kept(np.array([0, 1, 9, 1]), 1, 3).tolist() == [0, 1, 2, 3]
    assert kept(np.array([0, 0, 0]), 0, 1).tolist() == [0]
    for keep in (0, 4):
        with pytest.raises(ValueError, match=f"keep {keep} of 3 positions behind the first 1"):
            kept(np.array([0, 1, 9, 1]), 1, keep)


def test_fused_row_restated_with_python_integers():
    rng = np.random.default_rng(2)
    for heads in (1, 3, 6, 12, 16):
        a = importance(EXP2, RECIPROCAL, score_rows(heads, 65, heads))
        weight = importance_weight(heads)
        assert abs(Fraction(weight) - Fraction(2**16, heads)) <= Fraction(1, 2)
        w = fused_weights(a, weight)
        assert w.tolist() == [min((int(v) * weight + 2**24) >> 25, 32767) for v in a]
        rows = rng.integers(-32768, 32768, (65, 20))
        want = [(sum(int(v) * int(x) for v, x in zip(w, column, strict=True)) + 2**14) >> 15 for column in rows.T]
        assert fused_row(w, rows).tolist() == [max(-32768, min(32767, value)) for value in want]


def test_fused_row_limits():
    """A weight never reaches one; no row gives zero; sums saturate at both ends; the accumulator is full, and holds."""
    assert fused_weights(ONE, importance_weight(1)) == 32767
    assert fused_row(np.zeros(0, dtype=np.int64), np.zeros((0, 3), dtype=np.int64)).tolist() == [0, 0, 0]
    assert fused_row(np.array([32767, 32767]), np.array([[32767, -32768, 1], [32767, -32768, 0]])).tolist() == [
        32767,
        -32768,
        1,
    ]
    lowest = 1023 * 32767 * -32768
    assert -(2**40) <= lowest < -(2**40) * 998 // 1000


@pytest.mark.parametrize("extreme", [False, True])
def test_weights_of_a_softmax_need_fewer_bits(extreme: bool):
    """What docs/numerics.md says of real sums: 32 bits with the tables of the project, 33 with any."""
    table = RECIPROCAL.copy()
    if extreme:
        table[:] = (32768, 0)
    rows = score_rows(16, 1024, 11)
    rows[:, 1:] = np.where(np.arange(1023) % 2, 0, rows[:, 1:])
    worst = max(
        int(fused_weights(importance(EXP2, table, t), importance_weight(len(t))).sum())
        for t in (rows, np.zeros((1, 1023), dtype=np.int64), np.full((16, 1021), 31), rows[:1])
    )
    assert 32_000 < worst < (2 if extreme else 1) * (2**15 * (1 + RECIPROCAL_ERROR)) + 1024 // 2 + 16
    assert (worst * 32768).bit_length() + 1 <= (33 if extreme else 32)


def test_order_of_tokens_changes_no_bit_of_a_token():
    """Why a list need not be sorted by attention: attention and LayerNorm of permuted rows are the permuted results."""
    rng = np.random.default_rng(5)
    scores, value = score_rows(40, 40, 9), rng.integers(-127, 128, (40, 16))
    order = rng.permutation(40)

    def attended(t: np.ndarray, v: np.ndarray) -> np.ndarray:
        statistics = softmax_statistics(EXP2, t)
        mult, shift = row_factor(RECIPROCAL, statistics, 50000, 16)
        return half_up((probabilities(EXP2, t, statistics.top) @ v) * mult[:, None], shift[:, None])

    plain = attended(scores, value)
    assert np.array_equal(attended(scores[order][:, order], value[order]), plain[order])
    assert len(np.unique(plain)) > 50
    residual = rng.integers(-3000, 3000, (40, 16))
    parts = rng.integers(-900, 900, 16), rng.integers(-(2**19), 2**19, 16), 14
    normal = layernorm(TABLES["rsqrt"], residual, *parts)
    assert np.array_equal(layernorm(TABLES["rsqrt"], residual[order], *parts), normal[order])
