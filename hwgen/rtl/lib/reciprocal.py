"""Reciprocal and reciprocal square root of integers: normalise, then an interpolated table."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import table_bus
from hwgen.rtl.lib.interpolation import Interpolation, table_info
from hwgen.rtl.lib.pipeline import delay
from hwgen.spec.choices import SHIFT_MOVES
from hwgen.spec.stages import normalise_stages, normalising_moves
from hwgen.spec.tables import INTERPOLATION_BITS, RECIPROCAL_INDEX_BITS

MANTISSA_BITS = 18  # bits kept of a normalised number, its leading one (or pair) included
EXPONENT_BITS = 6


def normalise(m: Module, value: Value, smallest: int) -> tuple[Value, Value]:
    """(mantissa, moved): ``value`` shifted left until its top ``smallest`` bits are not all zero.

    ``moved`` is the shift, a multiple of ``smallest`` (1 or 2). The mantissa is the top MANTISSA_BITS of the result
    (lower bits dropped, missing ones zero). Zero gives a zero mantissa. Takes ``normalise_stages`` cycles.
    """
    width = len(value)
    moves = normalising_moves(width, smallest)
    moved: Value = Cat()
    for stage in range(normalise_stages(width, smallest)):
        value, taken = _shifted(value, moves[stage * SHIFT_MOVES : (stage + 1) * SHIFT_MOVES])
        register = Signal(width, name=f"normal_{stage}", reset_less=True)
        flags = Signal(len(moved) + len(taken), name=f"moved_{stage}", reset_less=True)
        m.d.sync += [register.eq(value), flags.eq(Cat(*reversed(taken), moved))]
        value, moved = register, flags
    if width < MANTISSA_BITS:
        value = Cat(Const(0, MANTISSA_BITS - width), value)
    zeros = smallest.bit_length() - 1
    return value[len(value) - MANTISSA_BITS :], moved << zeros


def _shifted(value: Value, moves: list[int]) -> tuple[Value, list[Value]]:
    """``value`` after one or two moves, and which were made; the second is looked up beside the first."""
    width, first = len(value), moves[0]
    move = value[width - first :] == 0
    if len(moves) == 1:
        return Mux(move, (value << first)[:width], value), [move]
    second = moves[1]
    below = value[max(0, width - first - second) : width - first] == 0
    again = Mux(move, below, value[width - second :] == 0)
    far, near = ((value << amount)[:width] for amount in (first + second, first))
    return Mux(move, Mux(again, far, near), Mux(again, (value << second)[:width], value)), [move, again]


class Reciprocal(wiring.Component):
    """``1 / x`` as mantissa and exponent: x is about ``2^15 * 2^exponent / value``.

    Equals ``golden.reciprocal.reciprocal``: exponent = floor(log2 x), value in UQ1.15. x = 0 gives exponent 0 and a
    meaningless value.

    Parameters
    ----------
    width: bits of x, at most 64.

    Members
    -------
    table: In(table_bus). x: In(width). value: Out(16). exponent: Out(6).

    Timing: ``latency`` cycles from x to value and exponent; one x a cycle.
    """

    @staticmethod
    def latency_of(width: int) -> int:
        """``latency`` before there is an instance."""
        return normalise_stages(width, 1) + Interpolation.latency

    def __init__(self, width: int) -> None:
        if not 4 <= width <= 64:
            raise ValueError(f"Reciprocal takes 4..64 bits, got {width}")
        self._width = width
        self.latency = self.latency_of(width)
        super().__init__({"table": In(table_bus()), "x": In(width), "value": Out(16), "exponent": Out(EXPONENT_BITS)})

    def elaborate(self, platform: object) -> Module:
        """Normalise, look up."""
        m = Module()
        m.submodules.lookup = lookup = Interpolation(table_info("reciprocal"), INTERPOLATION_BITS)
        wiring.connect(m, wiring.flipped(self.table), lookup.table)
        mantissa, moved = normalise(m, self.x, 1)
        exponent = Signal(EXPONENT_BITS)
        m.d.comb += [
            lookup.fraction[0].eq(mantissa[:INTERPOLATION_BITS]),
            lookup.index[0].eq(mantissa[INTERPOLATION_BITS : INTERPOLATION_BITS + RECIPROCAL_INDEX_BITS]),
            exponent.eq(Mux(mantissa[-1], self._width - 1 - moved, 0)),
            self.value.eq(lookup.value[0]),
            self.exponent.eq(delay(m, exponent, Interpolation.latency, "exponent")),
        ]
        return m


class ReciprocalSquareRoot(wiring.Component):
    """``1 / sqrt(x)`` as mantissa and exponent: sqrt(x) is about ``2^15 * 2^exponent / value``.

    Equals ``golden.reciprocal.rsqrt``: exponent = floor(log2 x) >> 1, value in UQ1.15; x = 0 gives (0, 0).

    Parameters
    ----------
    width: bits of x, even, at most 64.

    Members
    -------
    table: In(table_bus). x: In(width). value: Out(16). exponent: Out(6).

    Timing: ``latency`` cycles from x to value and exponent; one x a cycle.
    """

    @staticmethod
    def latency_of(width: int) -> int:
        """``latency`` before there is an instance."""
        return normalise_stages(width, 2) + Interpolation.latency + 1

    def __init__(self, width: int) -> None:
        if width % 2 or not 4 <= width <= 64:
            raise ValueError(f"ReciprocalSquareRoot takes an even width of 4..64 bits, got {width}")
        self._width = width
        self.latency = self.latency_of(width)
        super().__init__({"table": In(table_bus()), "x": In(width), "value": Out(16), "exponent": Out(EXPONENT_BITS)})

    def elaborate(self, platform: object) -> Module:
        """Normalise by even shifts, look up, zero for x = 0."""
        m = Module()
        m.submodules.lookup = lookup = Interpolation(table_info("rsqrt"), INTERPOLATION_BITS)
        wiring.connect(m, wiring.flipped(self.table), lookup.table)
        mantissa, moved = normalise(m, self.x, 2)
        positive, exponent = Signal(), Signal(EXPONENT_BITS)
        m.d.comb += [
            lookup.fraction[0].eq(mantissa[:INTERPOLATION_BITS]),
            lookup.index[0].eq(mantissa[INTERPOLATION_BITS:] - 64),
            positive.eq(mantissa != 0),
            exponent.eq(Mux(positive, (self._width - 2 - moved) >> 1, 0)),
        ]
        kept = delay(m, Cat(positive, exponent), Interpolation.latency, "kept")
        m.d.sync += [self.value.eq(Mux(kept[0], lookup.value[0], 0)), self.exponent.eq(kept[1:])]
        return m
