"""How far the function tables and what is computed with them are from the real functions, and how large sums become.

``python -m golden.analysis.errors`` prints three Markdown tables; with a file name it writes each between its comments
``<!-- python -m golden.analysis.errors NAME -->`` and ``<!-- end -->``. Tables are measured over every input there is.
"""

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.analysis.bounds import bounds
from golden.analysis.markdown import rewritten, table
from golden.gate import gate, gate_exponentials
from golden.gelu import gelu
from golden.layernorm import normalise, row_statistics
from golden.reciprocal import reciprocal, rsqrt
from golden.softmax import probabilities, row_factor, softmax_statistics
from hwgen.spec.array_kinds import KINDS, TABLE_DTYPE
from hwgen.spec.numerics import NUMERICS
from hwgen.spec.tables import GELU_ENTRIES, RSQRT_ENTRIES, TABLES, Int64Array, default_tables
from hwgen.store.output_file import write_text

FloatArray = NDArray[np.floating[Any]]
COMMAND = "python -m golden.analysis.errors"
_TABLES = default_tables()
_erf = np.vectorize(math.erf, otypes=[np.float64])
_HALF = 0.5


class TableError(NamedTuple):
    """One function table; errors are in real units, of every input."""

    name: str
    function: str
    format: str
    fraction_bits: int  # n of the interpolation; 0: direct
    chord: float  # bound: distance of the function from the chords
    roundings: float  # bound: halves of the last place, of entries and of the result
    error: FloatArray  # value minus real value


def _exp2() -> TableError:
    count, one = 2**NUMERICS.score_fraction_bits, 2.0**NUMERICS.exp_fraction_bits
    error = _TABLES["exp2"][:, 0] / one - np.exp2(np.arange(count, dtype=np.int64) / count)
    return TableError("exp2", "2^(k/32)", "UQ1.12", 0, 0.0, _HALF / one, error)


def _gate_exp2() -> TableError:
    """The table and the shift behind it, whose floor loses up to one last place."""
    distance = np.arange(2**16)
    logits = np.stack([np.full_like(distance, 32767), 32767 - distance], axis=1)
    one = 2.0**NUMERICS.gate_exp_bits
    error = gate_exponentials(_TABLES["gate_exp2"], logits)[:, 1] / one - np.exp2(-distance / 256)
    return TableError("gate_exp2", "2^(-D/256), with its shift", "UQ1.15", 0, 0.0, (1 + _HALF) / one, error)


def _gelu() -> TableError:
    """Nodes are moved by half a chord's error, so that the error has both signs; but for the first, which is zero."""
    z = np.arange(-(2**15), 2**15)
    x = z / 2.0**NUMERICS.gelu_fraction_bits
    one, step = 2.0**NUMERICS.gelu_table_bits, 2.0**-NUMERICS.gelu_step_log2
    error = gelu(_TABLES["gelu"], z) / one - 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0)))
    chord = 3 / 32 * step**2 * math.sqrt(2.0 / math.pi)  # in the first interval, where the curvature is largest
    return TableError("gelu", "relu(x) - gelu(x), x = k/32 up to 5.5", "UQ0.16", 6, chord, 2 * _HALF / one, error)


def _mantissas(bits: int, last: int) -> Int64Array:
    return np.arange(2**bits, last, dtype=np.int64)


def _reciprocal() -> TableError:
    w = _mantissas(17, 2**18)
    one = 2.0**NUMERICS.reciprocal_bits
    error = reciprocal(_TABLES["reciprocal"], w)[0] / one - 2.0**17 / w
    return TableError("reciprocal", "1 / (1 + k/128)", "UQ1.15", 10, 2.0**-14 / 4, 2 * _HALF / one, error)


def _rsqrt() -> TableError:
    w = _mantissas(16, 2**18)
    one = 2.0**NUMERICS.reciprocal_bits
    value, exponent = rsqrt(_TABLES["rsqrt"], w)
    error = value * np.exp2(8.0 - exponent) / one - np.sqrt(2.0**16 / w)
    return TableError("rsqrt", "1 / sqrt(1 + k/64)", "UQ1.15", 10, 2.0**-12 * 0.75 / 8, 2 * _HALF / one, error)


def table_errors() -> Iterator[TableError]:
    """Every function table."""
    yield _exp2()
    yield _gelu()
    yield _reciprocal()
    yield _rsqrt()
    yield _gate_exp2()


class StepError(NamedTuple):
    """One step that is computed with tables."""

    step: str
    inputs: str
    unit: str
    error: FloatArray


def _logits(deviation: float) -> Int64Array:
    """Rows of normal gate logits of 16 experts, in codes."""
    drawn = np.random.default_rng(5).normal(0.0, deviation, (5000, 16))
    return np.clip(np.rint(drawn), -(2**15), 2**15 - 1).astype(np.int64)


def _scores(keys: int, deviation: float) -> Int64Array:
    """Rows of normal scores, in codes of 1/32 octave."""
    drawn = np.random.default_rng(6).normal(0.0, deviation, (2000, keys))
    return np.clip(np.rint(drawn), -512, 511).astype(np.int64)


def _wide(bits: int) -> Int64Array:
    """Integers of up to ``bits`` bits, every length as likely."""
    rng = np.random.default_rng(7)
    return np.floor(np.exp2(rng.uniform(18, bits, 200_000))).astype(np.int64)


def _reciprocal_steps() -> Iterator[StepError]:
    """The mantissa keeps 17 fraction bits (16 below a square root) of numbers that have more."""
    x = _wide(54)
    value, exponent = reciprocal(_TABLES["reciprocal"], x)
    yield StepError("R of reciprocal", "18 to 54 bits", "relative", value * np.exp2(-15.0 - exponent) * x - 1.0)
    x = _wide(50)
    value, exponent = rsqrt(_TABLES["rsqrt"], x)
    yield StepError("R of rsqrt", "18 to 50 bits", "relative", value * np.exp2(-15.0 - exponent) * np.sqrt(x) - 1.0)


def _softmax_steps() -> Iterator[StepError]:
    t = np.arange(480 - 8 * 32, 512)
    made = probabilities(_TABLES["exp2"], t, np.array(15)).astype(np.float64)
    yield StepError("u", "9 octaves of scores", "codes", made - np.exp2(t / 32 - 15) * 64)
    for keys, deviation in ((65, 40), (129, 40), (197, 40), (1024, 40), (129, 200)):
        rows = _scores(keys, deviation)
        found = softmax_statistics(_TABLES["exp2"], rows)
        mult, shift = row_factor(_TABLES["reciprocal"], found, 2**15, 15)
        weight = np.exp2((rows - rows.max(axis=1, keepdims=True)) / 32)
        real = weight / weight.sum(axis=1, keepdims=True)
        factor = (mult * np.exp2(-shift.astype(np.float64)))[:, None]
        made = probabilities(_TABLES["exp2"], rows, found.top) * factor
        inputs = f"{keys} keys, deviation {deviation / 32:g} octaves"
        yield StepError("probability", inputs, "absolute", made - real)
        yield StepError("sum of a row's probabilities", inputs, "relative", made.sum(axis=1) - 1.0)


def _norm_steps() -> Iterator[StepError]:
    for channels, deviation in ((192, 20), (192, 1000), (384, 1000)):
        rows = np.rint(np.random.default_rng(2).normal(0.0, deviation, (400, channels))).astype(np.int64)
        z = normalise(rows, row_statistics(_TABLES["rsqrt"], rows)) / 2.0**NUMERICS.norm_fraction_bits
        centred = rows - rows.mean(axis=1, keepdims=True)
        inputs = f"{channels} channels, deviation {deviation} codes"
        yield StepError("z of LayerNorm", inputs, "deviations", z - centred / centred.std(axis=1, keepdims=True))


def _gate_steps() -> Iterator[StepError]:
    for deviation in (64, 512):
        logits = _logits(deviation)
        for renormalise in (False, True):
            chosen, score = gate(_TABLES["gate_exp2"], _TABLES["reciprocal"], logits, 2, renormalise=renormalise)
            weight = np.exp2(logits / 256)
            taken = np.take_along_axis(weight, chosen, axis=1)
            real = taken / (taken if renormalise else weight).sum(axis=1, keepdims=True)
            inputs = f"16 experts, top 2{', renormalised' * renormalise}, deviation {deviation / 256:g} octaves"
            yield StepError("expert score", inputs, "absolute", score / 2.0**NUMERICS.expert_score_bits - real)


def step_errors() -> Iterator[StepError]:
    """Every step that uses tables."""
    yield from _reciprocal_steps()
    yield from _softmax_steps()
    yield from _norm_steps()
    yield from _gate_steps()


def _figure(value: float) -> str:
    return f"{value:.1e}" if value else "0"


def _largest(error: FloatArray) -> float:
    return float(np.abs(error).max())


def _rms(error: FloatArray) -> float:
    return float(np.sqrt(np.square(error).mean()))


def tables_table() -> str:
    """Function tables: contents, bounds and measured errors."""
    counts = {"gelu": GELU_ENTRIES, "rsqrt": RSQRT_ENTRIES}
    rows: list[tuple[str, ...]] = []
    for item in table_errors():
        contents = _TABLES[item.name]
        slopes = f"{contents[:, 1].min()}..{contents[:, 1].max()}" if item.fraction_bits else "-"
        kind = f"chords, n = {item.fraction_bits}" if item.fraction_bits else "direct"
        rows.append(
            (
                f"`{item.name}`",
                item.function,
                str(counts.get(item.name, len(contents))),
                item.format,
                kind,
                f"{contents[:, 0].min()}..{contents[:, 0].max()}",
                slopes,
                _figure(item.chord),
                _figure(item.roundings),
                _figure(_largest(item.error)),
                _figure(_rms(item.error)),
            )
        )
    header = ("table", "function", "entries", "format", "between", "base", "slope", "chord", "roundings", "max", "rms")
    return table(header, rows)


def steps_table() -> str:
    """Steps made with tables: measured errors."""
    rows = [(s.step, s.inputs, s.unit, _figure(_largest(s.error)), _figure(_rms(s.error))) for s in step_errors()]
    return table(("step", "inputs", "error", "max", "rms"), rows)


def bounds_table() -> str:
    """Sums and products: how large, how many bits, and the width of the hardware."""
    rows = [(b.quantity, b.formula, f"{max(-b.low, b.high):,}", str(b.bits), str(b.held)) for b in bounds()]
    return table(("quantity", "largest magnitude", "", "bits", "held in"), rows)


def ranges_table() -> str:
    """What the arrays of a package may hold."""
    header = ("arrays", "type", "values", "because")
    rows = [(kind.arrays, kind.dtype, f"{kind.low:,}..{kind.high:,}", kind.why) for kind in KINDS]
    for info in TABLES:
        rows.append((f"tables.{info.name}, base", TABLE_DTYPE, f"{info.base[0]:,}..{info.base[1]:,}", info.why))
    return table(header, rows)


PARTS: dict[str, Callable[[], str]] = {
    "tables": tables_table,
    "steps": steps_table,
    "bounds": bounds_table,
    "ranges": ranges_table,
}


def regenerated(text: str) -> str:
    """``text`` with every fenced table written anew; ValueError names a fence that is missing."""
    for name, make in PARTS.items():
        text = rewritten(text, f"{COMMAND} {name}", make())
    return text


def main() -> None:
    """Print the tables, or write them into the documents that are named."""
    if len(sys.argv) == 1:
        print("\n".join(make() for make in PARTS.values()), end="")
    for name in sys.argv[1:]:
        path = Path(name)
        write_text(path, regenerated(path.read_text()))


if __name__ == "__main__":
    main()
