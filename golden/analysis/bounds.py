"""The range of every sum and product on the way, from the limits of `hwgen.spec.arch.ArchConfig`: nothing overflows.

Bits are of two's complement where a value can be negative. ``held`` is the width of the hardware at these limits.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from golden.softmax import OCTAVE_BIAS
from hwgen.spec.arch import ArchConfig
from hwgen.spec.limits import limits_of
from hwgen.spec.numerics import (
    FUSED_WEIGHT_BITS,
    IMPORTANCE_BITS,
    MAX_BIAS,
    MAX_OBSERVED_HEADS,
    NUMERICS,
)
from hwgen.spec.tables import TABLES, default_tables

CODE = NUMERICS.activation_max  # 127
MULT = 2**NUMERICS.multiplier_bits - 1  # 65535
LOWEST, HIGHEST = -(2 ** (NUMERICS.residual_bits - 1)), 2 ** (NUMERICS.residual_bits - 1) - 1  # int16
SPAN = HIGHEST - LOWEST  # 65535
Z_ONE = 2**NUMERICS.norm_fraction_bits
TOP_OCTAVE = 2 ** (NUMERICS.score_bits - 1 - NUMERICS.score_fraction_bits) - 1  # 15
RECIPROCAL_ONE = 2**NUMERICS.reciprocal_bits


class Bound(NamedTuple):
    """One quantity and how large it can become."""

    quantity: str
    formula: str  # of the largest magnitude
    low: int
    high: int
    held: int  # bits in hardware

    @property
    def bits(self) -> int:
        """Bits that the range needs."""
        return max(self.high.bit_length(), (-self.low - 1).bit_length()) + 1 if self.low else self.high.bit_length()


def limit(field: str) -> int:
    """The largest value of a field of `ArchConfig`."""
    return int(limits_of(ArchConfig)[field].most)


def bounds() -> Iterator[Bound]:
    """Every sum and product, in the order of the document."""
    yield from _array()
    yield from _gelu()
    yield from _layernorm()
    yield from _softmax()
    yield from _select()
    yield from _gate()


def _both(quantity: str, formula: str, largest: int, held: int) -> Bound:
    """A range with equal ends."""
    return Bound(quantity, formula, -largest, largest, held)


def _array() -> Iterator[Bound]:
    lanes, inputs = limit("input_lanes"), limit("max_inputs")
    acc = inputs * CODE**2
    yield _both("sum of one chunk (a field of the packed product)", f"{lanes} * 127^2", lanes * CODE**2, 19)
    yield _both("accumulator", f"{inputs} * 127^2", acc, NUMERICS.accumulator_bits)
    yield _both("acc + bias", f"{inputs} * 127^2 + 2^30", acc + MAX_BIAS, NUMERICS.accumulator_bits)
    yield _both("(acc + bias) * M", "the same times 65535", (acc + MAX_BIAS) * MULT, 48)
    yield Bound("r + sat16(requant)", "2 * 32768", 2 * LOWEST, 2 * HIGHEST, 17)


def _gelu() -> Iterator[Bound]:
    table = default_tables()["gelu"]
    high = HIGHEST << (NUMERICS.gelu_table_bits - NUMERICS.gelu_fraction_bits)
    low = -int((table[:, 0] + table[:, 1].clip(min=0)).max())
    yield Bound("y of GELU", "32767 * 2^5", low, high, 22)
    yield Bound("y * M2", "the same times 65535", low * MULT, high * MULT, 38)
    yield Bound("sat16(half_up(y * M2, S2)) + zero", "32768 + 127", LOWEST - CODE, HIGHEST + CODE, 17)


def _layernorm() -> Iterator[Bound]:
    channels = limit("max_channels")
    spread = channels**2 * SPAN**2 // 4  # half of the channels at either end
    deviation = (channels - 1) * SPAN  # one channel at the other end
    z = math.ceil(Z_ONE * math.sqrt(channels - 1) * (1 + 2.0**-13)) + 1
    offset = z * 2**15 + MAX_BIAS
    yield Bound("S1", f"{channels} * 32768", channels * LOWEST, channels * HIGHEST, 26)
    yield Bound("S2", f"{channels} * 32768^2", 0, channels * LOWEST**2, 41)
    yield Bound("V", f"{channels}^2 * 65535^2 / 4", 0, spread, 50)
    yield _both("d", f"{channels - 1} * 65535", deviation, 27)
    yield _both("d * R", "the same times 2^15", deviation * RECIPROCAL_ONE, 44)
    yield _both("z", f"2^10 * sqrt({channels - 1}), and the error of R", z, 17)
    yield _both("z * gain + offset", "the same times 2^15, plus 2^30", offset, 35)
    yield _both("x * gain + offset of plain rows", "2^15 * 2^15 + 2^30", LOWEST**2 + MAX_BIAS, 35)


def _softmax() -> Iterator[Bound]:
    tokens = limit("max_tokens")
    largest = int(default_tables()["exp2"][:, 0].max())
    top, u = largest << (TOP_OCTAVE + OCTAVE_BIAS), (largest + 2**5) >> 6
    yield Bound("E << (oct + 16)", f"{largest} * 2^31", 0, top, 44)
    yield Bound("sum of a row", f"{tokens} times that", 0, tokens * top, 54)
    yield Bound("u", f"half_up({largest}, 6)", 0, u, NUMERICS.probability_bits)
    yield _both("SUM(u * v)", f"{tokens} * {u} * 127", tokens * u * CODE, NUMERICS.accumulator_bits)
    yield _both("SUM(u * v) * M_row", "the same times 65535", tokens * u * CODE * MULT, 48)
    yield Bound("R * Mc", "2^15 * 65535", 0, RECIPROCAL_ONE * MULT, 32)


def _select() -> Iterator[Bound]:
    """Of the tables a package may hold, since a threshold compares whatever they give."""
    tokens, heads = limit("max_tokens"), MAX_OBSERVED_HEADS
    exponential = next(info.base[1] for info in TABLES if info.name == "exp2")
    product = exponential * RECIPROCAL_ONE
    importance = (product + 4) >> 3
    weight, weight_bits = 2**FUSED_WEIGHT_BITS - 1, 17
    yield Bound("E * R", f"{exponential} * 2^15", 0, product, 28)
    yield Bound("a of a head", "half_up(the same, 3)", 0, importance, 25)
    yield Bound("a", f"{heads} times that", 0, heads * importance, IMPORTANCE_BITS)
    yield Bound("a * weight", "the same times 2^17 - 1", 0, heads * importance * (2**weight_bits - 1), 46)
    dropped = (tokens - 1) * weight
    yield Bound("SUM w * x", f"{tokens - 1} * 32767 * 32768", dropped * LOWEST, dropped * HIGHEST, 41)


def _gate() -> Iterator[Bound]:
    experts, one = limit("max_experts"), 2**NUMERICS.gate_exp_bits
    yield Bound("D", "32767 + 32768", 0, SPAN, 17)
    yield Bound("total", f"{experts} * 2^15", 0, experts * one, 21)
    yield Bound("X * R", "2^15 * 2^15", 0, one * RECIPROCAL_ONE, 32)
    yield Bound("sat16(requant) * score", "2^15 * 2^15", LOWEST * one, HIGHEST * one, 38)
