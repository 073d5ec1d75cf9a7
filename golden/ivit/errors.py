"""How far softmax, GELU and LayerNorm of both arithmetic profiles are from the real functions, as Markdown tables.

``python -m golden.ivit`` prints them; with a file name it writes them between the comments ``<!-- python -m golden.ivit
-->`` and ``<!-- end -->`` of that file. Both profiles get the same real inputs: integer codes times a scale.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.analysis.markdown import rewritten, table
from golden.gelu import gelu
from golden.ivit.layernorm import layernorm, newton_sqrt
from golden.ivit.limits import ACCUMULATOR_MAX
from golden.ivit.shift_exp import shift_exp, unit
from golden.ivit.shift_gelu import EXP_BITS, gelu_unit, shift_gelu, shift_sigmoid
from golden.ivit.shiftmax import shiftmax
from golden.layernorm import normalise, row_statistics
from golden.rounding import sat10, sat16
from golden.softmax import probabilities, row_factor, softmax_statistics
from hwgen.spec.numerics import NUMERICS
from hwgen.spec.tables import Int64Array, default_tables

FloatArray = NDArray[np.floating[Any]]

KEYS = 129  # keys of a row of scores
CHANNELS = 192  # channels of a row of the residual stream
ROWS = 400
SCORE_ROWS = 2000
_TABLES = default_tables()
_erf = np.vectorize(math.erf, otypes=[np.float64])


def real_softmax(x: FloatArray) -> FloatArray:
    """Softmax over the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def real_gelu(x: FloatArray) -> FloatArray:
    """x times the standard normal distribution function."""
    return 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0)))


def real_sigmoid(x: FloatArray) -> FloatArray:
    """sigmoid(1.702 x)."""
    return 1.0 / (1.0 + np.exp(-1.702 * x))


def real_norm(x: FloatArray) -> FloatArray:
    """Rows with mean zero and deviation one."""
    return (x - x.mean(axis=-1, keepdims=True)) / x.std(axis=-1, keepdims=True)


def octave_softmax(x: FloatArray) -> FloatArray:
    """Probabilities of the profile ``octave`` for real scores, moved below the top of the score range."""
    per_nat = 2**NUMERICS.score_fraction_bits / math.log(2.0)
    top = 2 ** (NUMERICS.score_bits - 1) - 1
    scores = sat10(np.rint(x * per_nat).astype(np.int64) - max(round(float(x.max()) * per_nat) - top, 0))
    statistics = softmax_statistics(_TABLES["exp2"], scores)
    mult, shift = row_factor(_TABLES["reciprocal"], statistics, 2**15, 15)
    codes = probabilities(_TABLES["exp2"], scores, statistics.top)
    factor = mult.astype(np.float64) * np.exp2(-shift.astype(np.float64))
    return codes.astype(np.float64) * factor[..., None]


def octave_gelu(x: FloatArray) -> FloatArray:
    """GELU of the profile ``octave``, before its output becomes int8."""
    codes = sat16(np.rint(x * 2**NUMERICS.gelu_fraction_bits).astype(np.int64))
    return gelu(_TABLES["gelu"], codes) / 2**NUMERICS.gelu_table_bits


def octave_norm(x: Int64Array) -> FloatArray:
    """Normalised residual rows of the profile ``octave``."""
    return normalise(x, row_statistics(_TABLES["rsqrt"], x)) / 2**NUMERICS.norm_fraction_bits


def all_codes() -> Int64Array:
    """Every int8 code once: one token whose largest hidden unit is 127."""
    return np.arange(-128, 128, dtype=np.int64)[None]


def score_codes() -> Int64Array:
    """Rows [SCORE_ROWS, KEYS] of uniform int8 codes."""
    return np.random.default_rng(1).integers(-128, 128, (SCORE_ROWS, KEYS))


def residual_rows(deviation: float) -> Int64Array:
    """Rows [ROWS, CHANNELS] of normal numbers with this deviation, rounded."""
    return np.rint(np.random.default_rng(2).normal(0.0, deviation, (ROWS, CHANNELS))).astype(np.int64)


class Comparison(NamedTuple):
    """One row of the first table; errors are absolute."""

    function: str
    inputs: str
    ivit: FloatArray  # value minus real value
    octave: FloatArray


def comparisons() -> Iterator[Comparison]:
    """Both profiles against the real functions."""
    x = score_codes()
    for scale in (0.02, 0.05, 0.1):
        real = real_softmax(x * scale)
        found = shiftmax(x, unit(scale)) / 2**15
        yield Comparison("softmax", f"{KEYS} keys, S = {scale}", found - real, octave_softmax(x * scale) - real)
    x = all_codes()
    for scale in (2**-6, 0.02, 0.04, 2**-4, 2**-3):
        real = real_gelu(x * scale)
        found = shift_gelu(x, gelu_unit(scale)) * scale / 2**7
        yield Comparison("GELU", f"row maximum {127 * scale:.2f}", found - real, octave_gelu(x * scale) - real)
    for deviation in (5, 8, 20, 100, 1000, 5000):
        x = residual_rows(deviation)
        real = real_norm(x.astype(np.float64))
        found = layernorm(x) * math.sqrt(CHANNELS) / 2**30
        yield Comparison("LayerNorm", f"deviation {deviation} codes", found - real, octave_norm(x) - real)


def slope_error(scale: float) -> float:
    """Relative error of the exponent's slope because ``x0`` is an integer."""
    return 1.0 / scale / -unit(scale) - 1.0


def exponential_error(scale: float, lowest: float = -5.0) -> tuple[float, float, float]:
    """(largest absolute error, where, largest relative error) of the shift exponential on ``lowest`` .. 0."""
    x = np.arange(math.ceil(lowest / scale), 1)
    real = np.exp(x * scale)
    error = np.abs(shift_exp(x, unit(scale), EXP_BITS) * scale / 2**EXP_BITS - real)
    return float(error.max()), float(x[error.argmax()] * scale), float((error / real).max())


def row_sums(bits: int, scale: float) -> FloatArray:
    """Sums of the rows of Shiftmax."""
    return shiftmax(score_codes(), unit(scale), bits=bits).sum(axis=-1) / 2 ** (bits - 1)


def gain_error(scale: float) -> tuple[int, float]:
    """(smallest quotient, lowest relative error of the sigmoid for x >= 1) over every int8 code of one token."""
    x, x0 = all_codes(), gelu_unit(scale)
    top = x.max(axis=-1, keepdims=True)
    quotient = ACCUMULATOR_MAX // (shift_exp(x - top, x0, EXP_BITS) + shift_exp(-top, x0, EXP_BITS))
    error = shift_sigmoid(x, x0) / 2**7 / real_sigmoid(x * scale) - 1.0
    return int(quotient.min()), float(error[x * scale >= 1.0].min())


def grouped_codes(scale: float, lanes: int = 16) -> float:
    """Share of ShiftGELU codes that change when each group of lanes takes its own maximum."""
    x = np.random.default_rng(3).integers(-128, 128, (ROWS, 768))
    whole = shift_gelu(x, gelu_unit(scale))
    groups = shift_gelu(x.reshape(ROWS, -1, lanes), gelu_unit(scale)).reshape(x.shape)
    return float((whole != groups).mean())


def sigmoid_error(scale: float) -> float:
    """Largest error of ShiftGELU's sigmoid over every int8 code of one token."""
    x = all_codes()
    return float(np.abs(shift_sigmoid(x, gelu_unit(scale)) / 2**7 - real_sigmoid(x * scale)).max())


def _span(values: FloatArray) -> str:
    return f"{values.min():.3f} to {values.max():.3f}"


def limits() -> Iterator[tuple[str, str]]:
    """(where the functions of ``ivit`` are far off, by how much)."""
    absolute, place, relative = exponential_error(2**-12)
    yield "shift exponential, fine scale, -5..0", f"{absolute:.4f} at x = {place:.2f}; {100 * relative:.1f} % relative"
    slopes = ", ".join(f"{100 * slope_error(scale):.0f} % (S = {scale})" for scale in (0.03, 0.08, 0.11, 0.3))
    yield "shift exponential: slope, because x0 is an integer", slopes
    for bits in (16, 8):
        sums = np.concatenate([row_sums(bits, scale) for scale in (0.02, 0.05, 0.1)])
        yield f"Shiftmax, {bits}-bit output: row sums instead of 1", _span(sums)
    x = np.linspace(-8.0, 8.0, 16001)
    yield "x sigmoid(1.702 x) instead of GELU, exact", f"{np.abs(x * real_sigmoid(x) - real_gelu(x)).max():.4f}"
    quotient, gain = gain_error(2**-6)
    yield "ShiftGELU: sigmoid of x >= 1 at S = 2^-6", f"low by up to {-100 * gain:.0f} %, quotients from {quotient} up"
    yield "ShiftGELU: sigmoid, row maximum 7.9 (below 9.4)", f"{sigmoid_error(2**-4):.2f}"
    yield "ShiftGELU: sigmoid, row maximum 15.9 (above 9.4)", f"{sigmoid_error(2**-3):.2f}"
    changed = f"{100 * grouped_codes(0.04):.0f} % of the codes change"
    yield "ShiftGELU: maximum over 16 hidden units instead of all", changed
    yield "I-LayerNorm: smallest square root after 10 steps", str(int(newton_sqrt(np.array([0]))[0]))
    yield "I-LayerNorm: 10 steps for sqrt(v) = 150", f"{newton_sqrt(np.array([150**2]))[0] * 100 / 150 - 100:+.1f} %"
    yield "I-LayerNorm: 10 steps for sqrt(v) = 200", f"{newton_sqrt(np.array([200**2]))[0] * 100 / 200 - 100:+.1f} %"


def _rms(error: FloatArray) -> float:
    return float(np.sqrt(np.square(error).mean()))


def error_tables() -> str:
    """Both tables, Markdown."""
    rows = [
        (c.function, c.inputs, *(f"{value:.1e}" for e in (c.ivit, c.octave) for value in (np.abs(e).max(), _rms(e))))
        for c in comparisons()
    ]
    header = ("function", "inputs", "`ivit` max", "`ivit` rms", "`octave` max", "`octave` rms")
    return table(header, rows) + "\n" + table(("`ivit`", "measured"), list(limits()))


def regenerate(text: str, tables: Callable[[], str] = error_tables) -> str:
    """``text`` with the fenced tables written anew; ValueError if there is no fence."""
    return rewritten(text, "python -m golden.ivit", tables())
