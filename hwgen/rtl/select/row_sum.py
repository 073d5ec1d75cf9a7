"""Row sum: rows of the residual stream times their weights, some lanes of a word at a time."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.pipeline import delay, delay_valid, width_for
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import RESIDUAL
from hwgen.spec.choices import row_sum_passes
from hwgen.spec.numerics import FUSED_WEIGHT_BITS, NUMERICS

VALUE_BITS = NUMERICS.residual_bits


def sum_bits(arch: ArchConfig) -> int:
    """Bits of a sum over all rows that may leave, whatever their weights."""
    return VALUE_BITS + FUSED_WEIGHT_BITS + (arch.max_tokens - 1).bit_length()


class RowSum(wiring.Component):
    """``sat16(half_up(SUM weight * x, 15))`` of part after part of a word; ``golden.select.fused_row``.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    valid: In(1), a word x of a row: In(16 * Po), its weight: In(15), and part: In, which lanes of the word are summed.
    first, last: In(1), first and last row of the sum.
    y: Out(16 * Po), o_valid: Out(1): a whole word, when the last part is complete; parts come in ascending order.

    Timing: one row a cycle; ``latency`` cycles from the last row of the last part to ``o_valid``.
    """

    latency = 4  # operands, product, sum, saturation

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        self._passes = row_sum_passes(arch)
        self._lanes = arch.output_lanes // self._passes
        super().__init__(
            {
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "part": In(width_for(self._passes)),
                "x": In(RESIDUAL.word_bits(arch)),
                "weight": In(FUSED_WEIGHT_BITS),
                "o_valid": Out(1),
                "y": Out(RESIDUAL.word_bits(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Choose the lanes, multiply and add, saturate, and put the parts of a word side by side."""
        m = Module()
        bits = VALUE_BITS * self._lanes
        chosen, weight = Signal(bits, reset_less=True), Signal(FUSED_WEIGHT_BITS, reset_less=True)
        m.d.sync += [chosen.eq(self.x.word_select(self.part, bits)), weight.eq(self.weight)]
        first = delay(m, self.first, 2, "first")
        ends = delay_valid(m, self.valid & self.last, 3)
        valid = delay_valid(m, self.valid, 2)
        x = data.View(data.ArrayLayout(signed(VALUE_BITS), self._lanes), chosen)
        parts = [self._lane(m, lane, x[lane] * weight, valid, first) for lane in range(self._lanes)]
        with m.If(ends):
            m.d.sync += self.y.eq(Cat(self.y, *parts)[bits:])
        whole = self.part == self._passes - 1
        m.d.comb += self.o_valid.eq(delay_valid(m, self.valid & self.last & whole, self.latency))
        return m

    def _lane(self, m: Module, lane: int, product: Value, valid: Value, first: Value) -> Value:
        """The sum of one lane, with a half below its last place, and what it saturates to."""
        kept = Signal(signed(VALUE_BITS + FUSED_WEIGHT_BITS), name=f"product_{lane}", reset_less=True)
        total = Signal(signed(sum_bits(self._arch)), name=f"total_{lane}", reset_less=True)
        m.d.sync += kept.eq(product)
        with m.If(valid):
            m.d.sync += total.eq(Mux(first, 1 << FUSED_WEIGHT_BITS - 1, total) + kept)
        above = total[FUSED_WEIGHT_BITS + VALUE_BITS - 1 : -1]  # all equal to the sign, unless it is too large
        over, under = ~total[-1] & above.any(), total[-1] & ~above.all()
        value = total[FUSED_WEIGHT_BITS : FUSED_WEIGHT_BITS + VALUE_BITS]
        return Cat(value[:-1] & ~under.replicate(VALUE_BITS - 1) | over.replicate(VALUE_BITS - 1), total[-1])
