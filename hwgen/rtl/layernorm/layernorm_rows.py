"""LayerNorm data path: exact statistics of rows as their words go by, and the normalisation of buffered words."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import Param, table_bus
from hwgen.rtl.lib.pipeline import add, delay, delay_valid, saturate_symmetric, tree
from hwgen.rtl.lib.reciprocal import ReciprocalSquareRoot
from hwgen.spec.arch import ArchConfig
from hwgen.spec.choices import ADDER_LEVELS
from hwgen.spec.numerics import NUMERICS
from hwgen.spec.stages import tree_stages

VALUE_BITS = NUMERICS.residual_bits
Z_BITS = 17  # Q6.10
CHANNEL_BITS = 12
RECIPROCAL_BITS = NUMERICS.reciprocal_bits  # R is UQ1.15
_LOW_SQUARES = 24  # split of the wide products into multiplier-sized pieces
_LOW_TOTAL = 13
_SPREAD_CYCLES = 3
FINE_BITS = 3  # of a shift: a first register moves by multiples of 8, the rest goes with the rounding


def max_words(arch: ArchConfig) -> int:
    """Words of the longest LayerNorm row."""
    return arch.words(arch.max_channels)


def channels_log2(arch: ArchConfig) -> int:
    """Binary logarithm, rounded up, of the values of the longest row."""
    return (max_words(arch) * arch.output_lanes - 1).bit_length()


def _root_width(arch: ArchConfig) -> int:
    """Bits of channels^2 times the variance."""
    return 30 + 2 * channels_log2(arch)


def row_constants(arch: ArchConfig) -> data.StructLayout:
    """What the normalisation of a row needs."""
    return data.StructLayout(
        {
            "total": signed(VALUE_BITS + channels_log2(arch)),  # S1, sum of x
            "reciprocal": 16,  # R, UQ1.15
            "exponent": 6,  # e
        }
    )


def plain_constants(arch: ArchConfig) -> data.Const:
    """With these and ``channels`` of 1 the normalised value is x itself: ``half_up((1 * x - 0) * 2^5, 0 + 5)``."""
    return row_constants(arch).const({"reciprocal": 1 << RECIPROCAL_BITS - NUMERICS.norm_fraction_bits})


class LayerNormStatistics(wiring.Component):
    """Exact sums of x and x^2 of every row, then its reciprocal deviation; ``golden.layernorm.row_statistics``.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    valid, first, last: In(1), a word of a row, its first, its last. x[i]: In(signed 16). channels: In(12), C, stable.
    table: In(table_bus).
    o_valid: Out(1). constants: Out(row_constants(arch)).

    Timing: one word a cycle; ``latency`` cycles from the last word of a row to ``o_valid``.
    """

    @staticmethod
    def latency_of(arch: ArchConfig) -> int:
        """``latency`` before there is an instance: squares, tree, accumulators, spread, square root."""
        root = ReciprocalSquareRoot.latency_of(_root_width(arch))
        return 1 + tree_stages(arch.output_lanes, ADDER_LEVELS) + 1 + _SPREAD_CYCLES + root

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        self._log2 = channels_log2(arch)
        self._root_width = _root_width(arch)
        self._tree = tree_stages(arch.output_lanes, ADDER_LEVELS)
        self.latency = self.latency_of(arch)
        super().__init__(
            {
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "x": In(data.ArrayLayout(signed(VALUE_BITS), arch.output_lanes)),
                "channels": In(CHANNEL_BITS),
                "table": In(table_bus()),
                "o_valid": Out(1),
                "constants": Out(row_constants(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Sums, spread, reciprocal square root."""
        m = Module()
        m.submodules.root = root = ReciprocalSquareRoot(self._root_width)
        wiring.connect(m, wiring.flipped(self.table), root.table)
        total, squares = self._accumulate(m)
        m.d.comb += [
            root.x.eq(self._spread(m, total, squares)),
            self.o_valid.eq(delay_valid(m, self.valid & self.last, self.latency)),
            self.constants.total.eq(delay(m, total, _SPREAD_CYCLES + root.latency, "total")),
            self.constants.reciprocal.eq(root.value),
            self.constants.exponent.eq(root.exponent),
        ]
        return m

    def _accumulate(self, m: Module) -> tuple[Signal, Signal]:
        """S1 and S2; complete in the cycle after the last word's sums leave the trees."""
        lanes = range(self._arch.output_lanes)
        squared = [Signal(2 * VALUE_BITS - 1, name=f"square_{lane}", reset_less=True) for lane in lanes]
        m.d.sync += [squared[lane].eq(self.x[lane] * self.x[lane]) for lane in lanes]
        word_squares = tree(m, list(squared), add, ADDER_LEVELS, "squares")
        word_total = delay(m, tree(m, [self.x[lane] for lane in lanes], add, ADDER_LEVELS, "total"), 1, "word_total")
        valid = delay_valid(m, self.valid, 1 + self._tree)
        first = delay(m, self.first, 1 + self._tree, "first")
        total = Signal(signed(VALUE_BITS + self._log2), name="s1", reset_less=True)
        squares = Signal(2 * VALUE_BITS - 1 + self._log2, name="s2", reset_less=True)
        with m.If(valid):
            m.d.sync += [
                total.eq(Mux(first, 0, total) + word_total),
                squares.eq(Mux(first, 0, squares) + word_squares),
            ]
        return total, squares

    def _spread(self, m: Module, total: Signal, squares: Signal) -> Signal:
        """V = C * S2 - S1^2 from multiplier-sized pieces, 3 cycles."""
        low, high = total[:_LOW_TOTAL], total[_LOW_TOTAL:].as_signed()
        products = {
            "scaled_low": self.channels * squares[:_LOW_SQUARES],
            "scaled_high": self.channels * squares[_LOW_SQUARES:],
            "low_low": low * low,
            "low_high": low * high,
            "high_high": high * high,
        }
        piece = {name: Signal(value.shape(), name=name, reset_less=True) for name, value in products.items()}
        m.d.sync += [piece[name].eq(value) for name, value in products.items()]
        scaled = piece["scaled_low"] + (piece["scaled_high"] << _LOW_SQUARES)
        minor = piece["low_low"] + (piece["low_high"] << _LOW_TOTAL + 1)
        major = piece["high_high"] << 2 * _LOW_TOTAL
        sums = [Signal(value.shape(), name=f"spread_{i}", reset_less=True) for i, value in enumerate((scaled, minor))]
        spread = Signal(self._root_width, reset_less=True)
        m.d.sync += [
            sums[0].eq(scaled),
            sums[1].eq(minor),
            spread.eq(sums[0] - sums[1] - delay(m, major, 1, "major")),
        ]
        return spread


class LayerNormNormaliser(wiring.Component):
    """Normalises one word a cycle: ``h = sat8(half_up(half_up((C*x - S1) * R, e + 5) * gain + offset, shift))``.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    x[i]: In(signed 16), cycle 0. constants: In(row_constants(arch)), cycle 0. channels: In(12), stable.
    params[i]: In(Param): the word's gains (signed ``mult``) and offsets (``bias``), cycle ``param_delay``.
    shift: In(6), stable.
    h[i]: Out(signed 8), cycle ``latency``.

    Timing: ``latency`` and ``param_delay`` count from the cycle of ``x``.
    """

    param_delay = 5
    latency = 10

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "x": In(data.ArrayLayout(signed(VALUE_BITS), arch.output_lanes)),
                "constants": In(row_constants(arch)),
                "channels": In(CHANNEL_BITS),
                "params": In(data.ArrayLayout(Param, arch.output_lanes)),
                "shift": In(6),
                "h": Out(data.ArrayLayout(signed(8), arch.output_lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Row constants travel beside the lanes."""
        m = Module()
        total = delay(m, self.constants.total, 1, "total")
        reciprocal = delay(m, self.constants.reciprocal, 2, "reciprocal")
        exponent = delay(m, self.constants.exponent, 3, "exponent")
        fine = delay(m, exponent[:FINE_BITS], 1, "fine")
        for lane in range(self._arch.output_lanes):
            z = self._normal(m, lane, total, reciprocal, exponent, fine)
            self._scaled(m, lane, z)
        return m

    def _normal(self, m: Module, lane: int, total: Value, reciprocal: Value, exponent: Value, fine: Value) -> Signal:
        """z after 5 cycles: product, deviation, product, coarse shift, fine shift with rounding."""
        width = len(total) + 1
        scaled = Signal(signed(CHANNEL_BITS + VALUE_BITS), name=f"scaled_{lane}", reset_less=True)
        deviation = Signal(signed(width), name=f"deviation_{lane}", reset_less=True)
        product = Signal(signed(width + 17), name=f"product_{lane}", reset_less=True)
        coarsely = Signal(signed(Z_BITS + 2**FINE_BITS), name=f"coarse_{lane}", reset_less=True)
        halves = Signal(signed(Z_BITS + 1), name=f"halves_{lane}")
        z = Signal(signed(Z_BITS), name=f"z_{lane}", reset_less=True)
        m.d.sync += [
            scaled.eq(self.x[lane] * self.channels),
            deviation.eq(scaled - total),
            product.eq(deviation * reciprocal),
            coarsely.eq((product >> 4) >> Cat(Const(0, FINE_BITS), exponent[FINE_BITS:])),
            z.eq((halves + 1) >> 1),
        ]
        m.d.comb += halves.eq(coarsely >> fine)
        return z

    def _scaled(self, m: Module, lane: int, z: Signal) -> None:
        """h after 5 cycles: product, offset, coarse shift, fine shift with rounding, saturation."""
        gain = self.params[lane].mult.as_signed()
        product = Signal(signed(Z_BITS + 16), name=f"gained_{lane}", reset_less=True)
        total = Signal(signed(Z_BITS + 18), name=f"offset_{lane}", reset_less=True)
        coarsely = Signal(signed(Z_BITS + 19), name=f"result_coarse_{lane}", reset_less=True)
        halves = Signal(signed(Z_BITS + 19), name=f"result_halves_{lane}")
        rounded = Signal(signed(Z_BITS + 18), name=f"result_{lane}", reset_less=True)
        h = Signal(signed(8), name=f"h_{lane}", reset_less=True)
        m.d.sync += [
            product.eq(z * gain),
            total.eq(product + delay(m, self.params[lane].bias, 1, f"bias_{lane}")),
            coarsely.eq(Cat(0, total).as_signed() >> Cat(Const(0, FINE_BITS), self.shift[FINE_BITS:])),
            rounded.eq((halves + 1) >> 1),
            h.eq(saturate_symmetric(rounded, 8)),
        ]
        m.d.comb += [halves.eq(coarsely >> self.shift[:FINE_BITS]), self.h[lane].eq(h)]
