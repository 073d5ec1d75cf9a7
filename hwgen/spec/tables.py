"""Function tables: data loaded with the model, shared by golden and RTL.

Two kinds. A *direct* table holds one value per index. An *interpolated* table holds pairs ``(base, slope)``;
with a fraction ``f`` of ``n`` bits its value is ``base[k] + ((slope[k] * f + 2**(n-1)) >> n)``.
In memory every entry is one 32-bit word: ``base`` in bits 15..0 (unsigned), ``slope`` in bits 31..16 (signed).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.activations import FUNCTIONS
from hwgen.spec.numerics import NUMERICS, NumericsConfig

Int64Array = NDArray[np.int64]

GELU_ENTRIES = 176  # steps of 1/32 up to 5.5; beyond, delta is zero
RECIPROCAL_INDEX_BITS = 7
RSQRT_INDEX_BITS = 8  # two integer and six fraction bits; the first 64 values never occur
RSQRT_ENTRIES = 192
INTERPOLATION_BITS = 10  # fraction bits of reciprocal and rsqrt


_ONE = 2**NUMERICS.reciprocal_bits  # of a UQ1.15 value
_INT16 = (-(2**15), 2**15 - 1)
_NO_SLOPE = (0, 0)


@dataclass(frozen=True)
class TableInfo:
    """Place of one table in the machine, the id that LOAD_TABLE names and its number of words, and what it may hold."""

    name: str
    index: int  # table id
    words: int  # 32-bit entries
    base: tuple[int, int]  # smallest and largest base
    slope: tuple[int, int]  # smallest and largest slope
    why: str  # of the bases' range
    chord_bits: int = 0  # fraction bits of chords that must stay in the bases' range; 0: no chords, or free ones
    first: int | None = None  # what entry 0 must be


TABLES = (
    TableInfo("exp2", 0, 32, (4096, 8159), _NO_SLOPE, "UQ1.12 from one on, and u at most 127"),
    TableInfo("gelu", 1, GELU_ENTRIES, (0, 2**NUMERICS.gelu_table_bits - 1), _INT16, "UQ0.16"),
    TableInfo("reciprocal", 2, 2**RECIPROCAL_INDEX_BITS, (0, _ONE), _INT16, "UQ1.15, at most one", INTERPOLATION_BITS),
    TableInfo("rsqrt", 3, RSQRT_ENTRIES, (0, _ONE), _INT16, "UQ1.15, at most one", INTERPOLATION_BITS),
    TableInfo("gate_exp2", 4, 256, (0, _ONE), _NO_SLOPE, "UQ1.15; the largest exponential is one", first=_ONE),
)


def chord_ends(table: Int64Array, info: TableInfo) -> Int64Array:
    """Value of every entry of a table [words, 2] at its largest fraction; where chords are free, the bases."""
    if not info.chord_bits:
        return table[:, 0]
    fraction, half = 2**info.chord_bits - 1, 2 ** (info.chord_bits - 1)
    return table[:, 0] + (table[:, 1] * fraction + half >> info.chord_bits)


def _interpolated(nodes: list[float], one: int) -> Int64Array:
    """Pairs (base, slope) through ``nodes`` scaled by ``one`` and rounded; one entry fewer than nodes."""
    points = np.array([round(value * one) for value in nodes], dtype=np.int64)
    return np.stack([points[:-1], np.diff(points)], axis=1)


def _balanced_nodes(delta: Callable[[float], float], steps: int, step: float) -> list[float]:
    """Nodes of a table of an even function, shifted by half the chord error so that the error has both signs.

    The chord of a function with second derivative c lies up to c*h^2/8 to one side; lowering both nodes by c*h^2/16
    halves that.
    """
    nodes: list[float] = []
    for k in range(steps + 1):
        x = k * step
        curvature = (delta(x + step) - 2 * delta(x) + delta(abs(x - step))) if k else 0.0
        nodes.append(max(delta(x) - curvature / 16, 0.0))
    return nodes


def exp2_table(numerics: NumericsConfig = NUMERICS) -> Int64Array:
    """2^(k/32), UQ1.12, direct."""
    count = 2**numerics.score_fraction_bits
    values = [round(2 ** (k / count) * 2**numerics.exp_fraction_bits) for k in range(count)]
    return np.stack([np.array(values, dtype=np.int64), np.zeros(count, dtype=np.int64)], axis=1)


def gate_exp2_table(numerics: NumericsConfig = NUMERICS) -> Int64Array:
    """2^(-k/256), UQ1.15, direct; entry 0 is exactly one."""
    count = 2**numerics.gate_fraction_bits
    values = [round(2 ** (-k / count) * 2**numerics.gate_exp_bits) for k in range(count)]
    return np.stack([np.array(values, dtype=np.int64), np.zeros(count, dtype=np.int64)], axis=1)


def gelu_table(numerics: NumericsConfig = NUMERICS, function: str = "gelu", stretch: int = 0) -> Int64Array:
    """delta(2^stretch k/32) / 2^stretch of an activation function for k = 0..175, UQ0.16, interpolated."""
    info, unit = FUNCTIONS[function], 2.0**stretch
    nodes = _balanced_nodes(lambda x: info.delta(x * unit) / unit, GELU_ENTRIES, 2.0**-numerics.gelu_step_log2)
    return _interpolated(nodes, 2**numerics.gelu_table_bits)


def reciprocal_table(numerics: NumericsConfig = NUMERICS) -> Int64Array:
    """1/m for m = 1 + k/128, UQ1.15, interpolated."""
    count = 2**RECIPROCAL_INDEX_BITS
    return _interpolated([1.0 / (1 + k / count) for k in range(count + 1)], 2**numerics.reciprocal_bits)


def rsqrt_table(numerics: NumericsConfig = NUMERICS) -> Int64Array:
    """1/sqrt(m) for m = 1 + k/64 in [1, 4), UQ1.15, interpolated."""
    nodes = [1.0 / math.sqrt(1 + k / 64) for k in range(RSQRT_ENTRIES + 1)]
    return _interpolated(nodes, 2**numerics.reciprocal_bits)


def default_tables(
    numerics: NumericsConfig = NUMERICS, function: str = "gelu", stretch: int = 0
) -> dict[str, Int64Array]:
    """Every table by name, shape [words, 2] = (base, slope); ``function`` and ``stretch`` are those of `gelu_table`."""
    return {
        "exp2": exp2_table(numerics),
        "gelu": gelu_table(numerics, function, stretch),
        "reciprocal": reciprocal_table(numerics),
        "rsqrt": rsqrt_table(numerics),
        "gate_exp2": gate_exp2_table(numerics),
    }


def pack_table(table: Int64Array) -> NDArray[np.uint32]:
    """The 32-bit words of a table as they lie in memory."""
    base, slope = table[:, 0], table[:, 1]
    return ((base & 0xFFFF) | ((slope & 0xFFFF) << 16)).astype(np.uint32)
