"""The integer functions of I-ViT against a restatement with Python integers, and what they refuse."""

import math

import numpy as np
import pytest

from golden.ivit.dyadic import Dyadic, dyadic, half_even, requantise, rescale, rescale_half_up
from golden.ivit.layernorm import layernorm, layernorm_bias, newton_sqrt, rounded_mean
from golden.ivit.shift_exp import shift_exp, unit
from golden.ivit.shift_gelu import gelu_unit, shift_gelu, shift_sigmoid
from golden.ivit.shiftmax import shiftmax
from tests.golden.ivit import naive

SCALES = (2**-9, 0.013, 0.02, 2**-4, 0.11, 0.3, 0.7, 1.0)


def score_rows(keys: int) -> np.ndarray:
    rng = np.random.default_rng(keys)
    rows = [rng.integers(-128, 128, keys), np.full(keys, -128), np.full(keys, 127), np.arange(keys) - keys]
    rows += [np.clip(np.rint(rng.normal(mean, 6, keys)), -128, 127) for mean in (-90, 0, 90)]
    return np.stack(rows).astype(np.int64)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("n", [15, 23])
def test_shift_exponential(scale: float, n: int):
    x = np.arange(-1400, 1)
    found = shift_exp(x, unit(scale), n).tolist()
    assert found == [naive.exponential(value, scale, n) for value in x.tolist()]
    assert found[-1] == (-unit(scale)) << n
    assert len(set(found)) > 6


def test_positive_arguments_of_the_shift_exponential():
    x = np.arange(-3, 40)
    assert shift_exp(x, -2, 15).tolist() == [naive.exponential(value, 0.5, 15) for value in x.tolist()]


@pytest.mark.parametrize(("n", "bits"), [(15, 16), (16, 8)])
@pytest.mark.parametrize("keys", [1, 2, 65, 129])
def test_shiftmax(keys: int, n: int, bits: int):
    x, compared = score_rows(keys), 0
    for scale in SCALES:
        found = shiftmax(x, unit(scale), n=n, bits=bits)
        for row, values in zip(x.tolist(), found.tolist(), strict=True):
            assert values == naive.softmax(row, scale, n, bits)
            compared += len(values)
        assert found.min() >= 0
    assert compared == 7 * keys * len(SCALES)


@pytest.mark.parametrize("hidden", [1, 16, 192])
def test_shift_gelu(hidden: int):
    x, compared = score_rows(hidden), 0
    for scale in SCALES[:6]:
        usable = x[x.max(axis=1) > -9 / scale / 1.702]  # above, exponentials of positive arguments leave int64
        found = shift_gelu(usable, gelu_unit(scale))
        for row, values in zip(usable.tolist(), found.tolist(), strict=True):
            assert values == naive.gelu(row, scale, 23)
            compared += len(values)
    assert compared > 30 * hidden


def test_shiftmax_sum_is_clamped():
    """65536 equal keys at x0 = -2: the sum would be 2^32; its quotient is one, and the row sums to two."""
    found = shiftmax(np.zeros(2**16, dtype=np.int64), -2)
    assert set(found.tolist()) == {1}
    assert found.sum() == 2 * 2**15


@pytest.mark.parametrize("channels", [1, 7, 192])
def test_layernorm(channels: int):
    rng = np.random.default_rng(channels)
    drawn = [rng.normal(mean, deviation, channels) for mean in (-300, 0.5) for deviation in (0, 3, 40, 9000)]
    x = np.rint(np.stack([*drawn, np.full(channels, 32767), np.arange(channels) % 2 * 65535 - 32768])).astype(np.int64)
    bias = rng.integers(-(2**29), 2**29, channels)
    found = layernorm(x, bias).tolist()
    assert len(found) == 10
    for row, values in zip(x.tolist(), found, strict=True):
        assert values == naive.layernorm(row, bias.tolist())


def test_means_are_rounded_half_to_even():
    x = np.array([[0, 1], [1, 2], [-1, 0], [-2, -1], [2, 3], [5, 5]])
    assert rounded_mean(x)[:, 0].tolist() == [0, 2, 0, -2, 2, 5]


def test_dyadic_requantisation():
    rng = np.random.default_rng(5)
    z = np.concatenate([rng.integers(-(2**26), 2**26, 300), rng.integers(-(2**32) + 1, 2**32, 300), [0, 1, -1, 2**31]])
    compared = 0
    for ratio in (1.0, 0.5, 0.375, 3.0, 2**-31, 1 - 2**-40, math.pi / 1000, 0.0217, 65535.7, 2**-32 * 1.3):
        found = rescale(z, dyadic(ratio)).tolist()
        assert found == [naive.dyadic_round(value, ratio) for value in z.tolist()]
        compared += len(found)
    assert compared == 10 * 604


def test_dyadic_is_the_released_double_arithmetic():
    """For |z| < 2^26 the products rounded in float64 are the exact ones."""
    rng = np.random.default_rng(6)
    z = rng.integers(-(2**26), 2**26, 20000)
    for ratio in rng.uniform(1e-5, 1.0, 10).tolist():
        mult, shift = dyadic(ratio)
        assert np.array_equal(np.rint(z.astype(np.float64) * mult / 2.0**shift), rescale(z, dyadic(ratio)))


def test_half_up_differs_on_exact_ties_only():
    z = np.arange(-5000, 5000)
    for ratio in (Dyadic(3 * 2**29, 33), Dyadic(2**30, 31), Dyadic(2**30 + 1, 33)):
        scaled = z * ratio.mult
        tie = (scaled & (2**ratio.shift - 1)) == 2 ** (ratio.shift - 1)
        even, up = rescale(z, ratio), rescale_half_up(z, ratio)
        assert np.array_equal(even != up, tie & (up & 1 == 1))
    assert (rescale(z, Dyadic(2**30, 31)) != rescale_half_up(z, Dyadic(2**30, 31))).sum() == 2500
    assert half_even(np.array([-3, 2]), 0).tolist() == [-3, 2]


def test_requantisation_clamps_and_adds_the_identity_branch():
    half, third = dyadic(0.5), dyadic(1 / 3)
    z, other = np.array([3, 5, 300, -300, 1]), np.array([4, -5, 3, -3, 200])
    assert requantise(z, half, 8).tolist() == [2, 2, 127, -128, 0]
    found = requantise(z, half, 8, identity=other, identity_ratio=third)
    assert found.tolist() == [2 + 1, 2 - 2, 127, -128, 0 + 67]
    with pytest.raises(ValueError, match="identity branch needs both"):
        requantise(z, half, 8, identity=other)


def test_layernorm_bias():
    beta, gamma = np.array([0.5, -0.25, 1.0]), np.array([2.0, 1.0, -3.0])
    assert layernorm_bias(beta, gamma).tolist() == [
        math.floor(ratio * 2**30 / math.sqrt(3)) for ratio in (0.25, -0.25, -1 / 3)
    ]
    with pytest.raises(ValueError, match=r"gamma, which is zero in channels \[1\]"):
        layernorm_bias(beta, np.array([1.0, 0.0, 2.0]))


def test_what_does_not_fit_in_63_bits_is_refused():
    with pytest.raises(OverflowError, match=r"shift exponential: 83 bits"):
        shift_exp(np.array([40]), -1, 23)
    with pytest.raises(OverflowError, match="shift exponential"):
        shift_gelu(np.array([[-128, -100]]), gelu_unit(0.3))  # an all-negative token
    with pytest.raises(OverflowError, match=r"dyadic product: 8589934592 \* 1073741824 exceeds 63 bits"):
        rescale(np.array([2**33]), dyadic(0.5))
    with pytest.raises(OverflowError, match="I-LayerNorm: 192 squares"):
        layernorm(np.arange(192)[None] << 30)


def test_bad_arguments_are_named():
    for scale in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="a scale is positive and finite"):
            unit(scale)
        with pytest.raises(ValueError, match="a ratio of scales is positive and finite"):
            dyadic(scale)
    with pytest.raises(ValueError, match=r"needs shift 6\d, outside 0\.\.62"):
        dyadic(2**-33)
    with pytest.raises(ValueError, match="needs shift -1"):
        dyadic(2.0**31)
    with pytest.raises(ValueError, match="x0 is negative, got 0"):
        shift_exp(np.array([0]), 0, 15)
    with pytest.raises(ValueError, match="at least one key"):
        shiftmax(np.zeros((2, 0), dtype=np.int64), -3)
    with pytest.raises(ValueError, match="at least one hidden unit"):
        shift_sigmoid(np.zeros((2, 0), dtype=np.int64), -3)


def test_square_root_of_large_numbers_is_exact_within_one():
    v = np.random.default_rng(8).integers(300**2, 2**40, 5000)
    assert np.abs(newton_sqrt(v) - np.sqrt(v)).max() <= 1.0
