"""What I-ViT's functions lose and where they fail, in figures; the tables of docs/numerics.md hold the same ones."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from golden.ivit import errors
from golden.ivit.layernorm import layernorm, newton_sqrt
from golden.ivit.shift_exp import shift_exp, unit
from golden.ivit.shift_gelu import EXP_BITS, gelu_unit, shift_sigmoid
from golden.ivit.shiftmax import shiftmax

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "numerics.md"


@pytest.fixture(scope="module")
def compared() -> dict[tuple[str, str], tuple[float, float]]:
    """Largest errors (ivit, octave) of each row of the first table."""
    return {
        (row.function, row.inputs): (float(np.abs(row.ivit).max()), float(np.abs(row.octave).max()))
        for row in errors.comparisons()
    }


def test_document_holds_these_tables():
    text = DOCUMENT.read_text()
    assert errors.regenerate(text) == text, "run: python -m golden.ivit docs/numerics.md"
    assert text.count("| softmax |") == 3


def test_command_prints_the_tables():
    found = subprocess.run(
        [sys.executable, "-m", "golden.ivit"], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == errors.error_tables().strip()


def test_document_without_a_fence_is_refused():
    with pytest.raises(ValueError, match=r"expected one <!-- python -m golden\.ivit -->"):
        errors.regenerate("# Numerics\n")


def test_octave_is_closer_everywhere_but_in_layernorm_of_large_deviations(compared):
    worse = [row for row, (ivit, octave) in compared.items() if octave > ivit]
    assert len(compared) == 14
    assert worse == [("LayerNorm", "deviation 5000 codes")]
    bounds = {"softmax": 0.005, "GELU": 3e-4, "LayerNorm": 6.5e-4}
    assert all(octave < bounds[function] for (function, _), (_, octave) in compared.items())


@pytest.mark.parametrize(
    ("function", "inputs", "error", "tolerance"),
    [
        ("softmax", "129 keys, S = 0.02", 0.003, 0.001),
        ("softmax", "129 keys, S = 0.05", 0.009, 0.001),
        ("softmax", "129 keys, S = 0.1", 0.020, 0.002),
        ("GELU", "row maximum 2.54", 0.29, 0.01),
        ("GELU", "row maximum 5.08", 0.20, 0.01),
        ("LayerNorm", "deviation 5 codes", 1.06, 0.1),
        ("LayerNorm", "deviation 8 codes", 0.33, 0.1),
        ("LayerNorm", "deviation 20 codes", 0.033, 0.003),
        ("LayerNorm", "deviation 100 codes", 0.007, 0.001),
    ],
)
def test_largest_errors(compared, function: str, inputs: str, error: float, tolerance: float):
    assert compared[function, inputs][0] == pytest.approx(error, abs=tolerance)


def test_exponential_is_a_line_between_powers_of_two():
    absolute, place, relative = errors.exponential_error(2**-12)
    assert absolute == pytest.approx(0.0439, abs=2e-4)
    assert place == pytest.approx(-0.33, abs=0.01)
    assert relative == pytest.approx(0.079, abs=0.001)


@pytest.mark.parametrize(("scale", "percent"), [(0.03, -2), (0.08, -4), (0.11, -9), (0.3, -17)])
def test_integer_unit_bends_the_slope(scale: float, percent: int):
    assert round(100 * errors.slope_error(scale)) == percent
    x = np.arange(-32, 1) * 16 * -unit(scale)  # a shift and a sixteenth of these are exact: only x0 errs
    octaves = np.log2(shift_exp(x, unit(scale), 40) / -unit(scale)) - 40
    assert octaves[1] == -40  # clamped at n octaves
    step = octaves[-2] * math.log(2) / (x[-2] * scale) / (1.4375 * math.log(2))
    assert step == pytest.approx(1 + errors.slope_error(scale), abs=1e-9)


def test_row_sums_fall_short():
    for bits, low, high in ((16, 0.97, 1.0), (8, 0.55, 0.97)):
        sums = np.concatenate([errors.row_sums(bits, scale) for scale in (0.02, 0.05, 0.1)])
        assert sums.size == 3 * errors.SCORE_ROWS
        assert low < sums.min() < sums.max() < high
    assert errors.row_sums(16, 0.05).min() == pytest.approx(0.994, abs=0.002)


def test_sigmoid_gelu_is_not_gelu():
    x = np.linspace(-8, 8, 160001)
    assert np.abs(x * errors.real_sigmoid(x) - errors.real_gelu(x)).max() == pytest.approx(0.0203, abs=1e-4)


@pytest.mark.parametrize("scale", [2**-4, 2**-3, 0.1])
def test_sigmoid_fails_above_a_row_maximum_of_23_octaves(scale: float):
    """Both exponentials of a code far below the maximum are clamped at 2^-23: their ratio is one half."""
    threshold = -16 * gelu_unit(scale)  # codes; 23 octaves at 1.4375 octaves per |x0| codes
    assert EXP_BITS / 1.4375 == 16
    assert threshold * scale >= 16 / 1.702 > 9.4  # and up to 17 % more with these scales, from the integer x0
    for top in (threshold + 1, threshold - 40):
        row = np.arange(-128, top + 1)[None]
        sigmoid = shift_sigmoid(row, gelu_unit(scale))[0] / 2**7
        wrong = np.abs(sigmoid - errors.real_sigmoid(row[0] * scale)).max()
        below = row[0] * scale < -2.0
        if top > threshold:
            assert np.all((sigmoid[below] == 0.5) | (sigmoid[below] == 63 / 128))
            assert below.sum() > 90
            assert wrong == pytest.approx(0.5, abs=0.02)
        else:
            assert wrong < 0.1


def test_gelu_of_a_large_row(compared):
    assert errors.sigmoid_error(2**-3) == pytest.approx(0.51, abs=0.01)
    assert compared["GELU", "row maximum 15.88"][0] > 4.8


def test_quotient_of_shift_gelu_has_few_levels():
    quotient, gain = errors.gain_error(2**-6)
    assert 5 <= quotient <= 8
    assert gain == pytest.approx(-0.14, abs=0.005)


def test_shift_gelu_is_not_point_wise():
    assert 0.3 < errors.grouped_codes(0.04) < 0.7


def test_newton_steps_from_2_to_the_16():
    assert newton_sqrt(np.arange(64**2)).min() == 64
    roots = np.arange(1, 2000)
    error = newton_sqrt(roots**2) / roots - 1
    assert error[roots < 100].min() > 0.08
    assert 0.005 < error[roots == 160] < 0.02
    assert np.abs(error[roots >= 200]).max() < 0.005
    assert newton_sqrt(np.array([25]), steps=20)[0] == 5  # more steps are the remedy


def test_sums_of_squares_pass_32_bits():
    inside, outside = (errors.residual_rows(deviation) for deviation in (4600, 4900))
    assert np.median(np.square(inside - inside.mean(axis=1, keepdims=True)).sum(axis=1)) < 2**32
    assert np.median(np.square(outside - outside.mean(axis=1, keepdims=True)).sum(axis=1)) > 2**32
    error = layernorm(outside) * math.sqrt(errors.CHANNELS) / 2**30 - errors.real_norm(outside.astype(np.float64))
    assert np.abs(error).max() < 3e-4


def test_sums_of_exponentials_pass_31_bits():
    """N * |x0| * 2^15 < 2^31 keeps them inside: 129 keys allow S of 0.002, and no finer."""
    assert errors.KEYS * -unit(1 / 508) << 15 < 2**31 < errors.KEYS * -unit(1 / 509) << 15
    flat = np.zeros((1, errors.KEYS), dtype=np.int64)
    assert shiftmax(flat, -508).sum() < 2**15
    assert shiftmax(flat, -2000).sum() > 2**15  # clamped: the row sums to more than one


def test_integers_carried_in_float32_are_not_the_integers():
    """(k S) / S in float32 differs from k for a tenth of the codes, and its half rounds down elsewhere for 3 %."""
    codes = np.arange(-128, 128).astype(np.float32)
    scales = np.random.default_rng(4).uniform(0.001, 0.2, (2000, 1)).astype(np.float32)
    carried = (codes * scales) / scales
    assert (carried != codes).mean() == pytest.approx(0.11, abs=0.015)
    assert (np.floor(carried / 2) != np.floor(codes / 2)).mean() == pytest.approx(0.027, abs=0.005)
    exact = np.float32(2.0**-5)
    assert np.array_equal((codes * exact) / exact, codes)
