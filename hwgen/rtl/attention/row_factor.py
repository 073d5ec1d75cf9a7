"""Row factor: what the post-processor multiplies a row of p.v by, from the statistics of its scores."""

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.gated_product import gated_sums
from hwgen.rtl.lib.interfaces import (
    ROW_BITS,
    WORD_ADDRESS_BITS,
    RowFactor,
    progress_pulse,
    row_reciprocal,
    table_bus,
    write_port,
)
from hwgen.rtl.lib.pipeline import delay, delay_valid
from hwgen.rtl.lib.reciprocal import Reciprocal
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import ROW_FACTOR_BITS
from hwgen.spec.isa import Counter

SUM_SHIFT = 22  # 16 of the octave bias and 6 of the probability
_PRODUCT_SHIFT = 15  # fraction bits of the reciprocal
_GROUP_BITS = 4  # of Mc, in one register of the product
_EXPONENTIAL_BITS = 13 + 31  # one exponential at its octave


def total_bits(arch: ArchConfig) -> int:
    """Bits of the exact sum of a row's exponentials."""
    return _EXPONENTIAL_BITS + (arch.max_tokens - 1).bit_length()


def row_statistics(arch: ArchConfig) -> wiring.Signature:
    """Statistics of one complete row of scores."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "row": Out(ROW_BITS),
            "slot": Out(1),
            "mult": Out(16),  # Mc of the layer
            "shift": Out(6),  # Sc of the layer
            "top": Out(signed(5)),  # m, largest octave
            "total": Out(total_bits(arch)),  # exact sum of exponentials
            "observed": Out(1),  # its scores become importances
        }
    )


class RowFactorUnit(wiring.Component):
    """Turns row statistics into ``RowFactor`` (octave, M_row, S_row) and stores them; ``golden.softmax.row_factor``.

    The products, also that of the reciprocal, are sums of gated copies: no multiplier.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In(row_statistics(arch)), at most one row a cycle, no back-pressure.
    table: In(table_bus).
    write: Out(write_port(27)), address ``slot * max_tokens + row``.
    reciprocal: Out(row_reciprocal), of observed rows.
    observed: In(1), the importances of an observed row are there.
    progress: Out(progress_pulse), SCORE, in the cycle after a row's write. From an observed row on none is counted
    until no observed row is under way, then all of them at once, in the cycle after ``observed``: rows are counted in
    their order, who waits for them finds the importances, and the compute unit is never two heads ahead of them.

    Timing: ``latency`` cycles from ``i.valid`` to ``write.enable``, three less to ``reciprocal.valid``.
    """

    @staticmethod
    def latency_of(arch: ArchConfig) -> int:
        """``latency`` before there is an instance: reciprocal, partial products, rounded sum, saturation."""
        return Reciprocal.latency_of(total_bits(arch)) + 3

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        self.latency = self.latency_of(arch)
        super().__init__(
            {
                "i": In(row_statistics(arch)),
                "table": In(table_bus()),
                "write": Out(write_port(ROW_FACTOR_BITS)),
                "reciprocal": Out(row_reciprocal()),
                "observed": In(1),
                "progress": Out(progress_pulse()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Reciprocal of the sum, its product with Mc, the shift beside it."""
        m = Module()
        m.submodules.reciprocal = unit = Reciprocal(total_bits(self._arch))
        wiring.connect(m, wiring.flipped(self.table), unit.table)
        m.d.comb += unit.x.eq(self.i.total)
        self._factor(m, unit)
        self._address(m)
        self._count(m, unit)
        return m

    def _count(self, m: Module, unit: Reciprocal) -> None:
        """Reciprocals of observed rows, and the count of rows."""
        shown = delay_valid(m, self.i.valid & self.i.observed, unit.latency)
        under_way, still = Signal(2), Signal(2)
        held, rows = Signal(len(self.progress.count)), Signal(len(self.progress.count))
        m.d.comb += [
            self.reciprocal.valid.eq(shown),
            self.reciprocal.value.eq(unit.value),
            self.reciprocal.exponent.eq(unit.exponent),
            still.eq(under_way + delay_valid(m, shown, self.latency - unit.latency) - self.observed),
            rows.eq(held + self.write.enable),
            self.progress.counter.eq(int(Counter.SCORE)),
        ]
        m.d.sync += [
            under_way.eq(still),
            held.eq(Mux(still == 0, 0, rows)),
            self.progress.count.eq(rows),
            self.progress.valid.eq((still == 0) & (self.write.enable | self.observed)),
        ]

    def _factor(self, m: Module, unit: Reciprocal) -> None:
        """Product, rounded, with the shift's sum, saturation."""
        mult = delay(m, self.i.mult, unit.latency, "mult")
        shift = delay(m, self.i.shift, unit.latency + 1, "shift")
        top = delay(m, self.i.top, unit.latency + 1, "top")
        exponent = delay(m, unit.exponent, 1, "exponent")
        product = gated_sums(m, unit.value, mult, _GROUP_BITS)
        rounded = Signal(17, reset_less=True)
        half = Const(1 << _PRODUCT_SHIFT - 1)
        shift_sum = Signal(6, reset_less=True)
        factor = Signal(RowFactor, reset_less=True)
        m.d.sync += [
            rounded.eq(sum(product, start=half) >> _PRODUCT_SHIFT),
            shift_sum.eq(shift + exponent - top - SUM_SHIFT),
            factor.mult.eq(Mux(rounded[16], 0xFFFF, rounded)),
            factor.shift.eq(shift_sum),
            factor.octave.eq(delay(m, top, 1, "top_kept")),
        ]
        m.d.comb += self.write.data.eq(factor.as_value())

    def _address(self, m: Module) -> None:
        """Place of the row and its valid bit, beside the factor."""
        address = Signal(WORD_ADDRESS_BITS, reset_less=True)
        m.d.sync += address.eq(Mux(self.i.slot, self._arch.max_tokens, 0) + self.i.row)
        m.d.comb += [
            self.write.enable.eq(delay_valid(m, self.i.valid, self.latency)),
            self.write.address.eq(delay(m, address, self.latency - 1, "address")),
        ]
