"""Softmax statistics: largest octave and exact sum of exponentials of every query row, in one pass and any order."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.attention.row_factor import RowFactorUnit, total_bits
from hwgen.rtl.lib.interfaces import (
    EXPONENTIAL_BITS,
    SCORE_FRACTION_BITS,
    buffer_write,
    progress_pulse,
    row_reciprocal,
    score_row,
    table_bus,
)
from hwgen.rtl.lib.interpolation import DirectTable, table_info
from hwgen.rtl.lib.pipeline import add, delay, delay_valid, larger, tree
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import ROW_FACTOR
from hwgen.spec.choices import ADDER_LEVELS
from hwgen.spec.stages import tree_stages

_OCTAVE_BIAS = 16  # octave -16..15 becomes 0..31: the shift of its exponential; 0 also where there is no key


class SoftmaxStatistics(wiring.Component):
    """Accumulates maximum octave and exact sum per token lane and stores the row factor of each complete query.

    Equals ``golden.softmax.softmax_statistics`` and ``row_factor``; the sum is exact, so the order of words is free.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In(score_row(arch)), at most one word a cycle, any lanes, no back-pressure.
    table: In(table_bus).
    write: Out(write_port(27)), row factor at ``slot * max_tokens + row``.
    reciprocal: Out(row_reciprocal), observed: In(1): of observed rows, as in RowFactorUnit.
    progress: Out(progress_pulse), SCORE, one per row, in the cycle after the write: the row factor is readable.

    Timing: ``latency`` cycles from the word with ``last_key`` to ``write.enable``, ``latency + 1`` to ``progress``.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        terms, octaves = (tree_stages(arch.output_lanes, levels) for levels in (ADDER_LEVELS, 1))
        self._steps = max(2 + terms, octaves)  # exponential, term and the sum of terms; the largest octave beside it
        self.latency = self._steps + 1 + RowFactorUnit.latency_of(arch)
        super().__init__(
            {
                "i": In(score_row(arch)),
                "table": In(table_bus()),
                "write": Out(buffer_write(ROW_FACTOR, arch)),
                "reciprocal": Out(row_reciprocal()),
                "observed": In(1),
                "progress": Out(progress_pulse()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Exponentials, trees, accumulators, row factor."""
        m = Module()
        m.submodules.row_factor = factor = RowFactorUnit(self._arch)
        m.submodules.exp2 = exp2 = DirectTable(table_info("exp2"), EXPONENTIAL_BITS, self._arch.output_lanes, 0)
        wiring.connect(m, wiring.flipped(self.table), factor.table, exp2.table)
        wiring.connect(m, factor.write, wiring.flipped(self.write))
        wiring.connect(m, factor.progress, wiring.flipped(self.progress))
        wiring.connect(m, factor.reciprocal, wiring.flipped(self.reciprocal))
        m.d.comb += factor.observed.eq(self.observed)
        total, octave = self._sum(m, exp2)
        self._accumulate(m, total, octave, factor.i)
        return m

    def _sum(self, m: Module, exp2: DirectTable) -> tuple[Value, Value]:
        """Sum of the word's exponentials at their octaves, and its largest octave, biased; after ``_steps`` cycles."""
        shifted, octaves = [], []
        for lane in range(self._arch.output_lanes):
            score, exists = self.i.scores[lane], self.i.mask[lane]
            mantissa = Signal(EXPONENTIAL_BITS, name=f"mantissa_{lane}", reset_less=True)
            octave = Mux(exists, (score >> SCORE_FRACTION_BITS) + _OCTAVE_BIAS, 0)[:5]
            shift = Signal(5, name=f"shift_{lane}", reset_less=True)
            term = Signal(EXPONENTIAL_BITS + 31, name=f"term_{lane}", reset_less=True)
            m.d.comb += exp2.index[lane].eq(score.as_unsigned()[:SCORE_FRACTION_BITS])
            m.d.sync += [
                mantissa.eq(Mux(exists, exp2.value[lane], 0)),
                shift.eq(octave),
                term.eq(mantissa << shift),
            ]
            shifted.append(term)
            octaves.append(octave)
        total = tree(m, shifted, add, ADDER_LEVELS, "total")
        top = tree(m, octaves, larger, 1, "top")
        total = delay(m, total, self._steps - 2 - tree_stages(len(octaves), ADDER_LEVELS), "total_kept")
        return total, delay(m, top, self._steps - tree_stages(len(octaves), 1), "top_kept")

    def _accumulate(self, m: Module, total: Value, octave: Value, row: wiring.PureInterface) -> None:
        """Add the word to its lane in one cycle; hand over a complete row."""
        steps = self._steps
        lanes = self._arch.token_lanes
        sums = [Signal(total_bits(self._arch), name=f"sum_{lane}") for lane in range(lanes)]
        tops = [Signal(5, name=f"top_{lane}") for lane in range(lanes)]
        kept = Cat(self.i.row, self.i.slot, self.i.mult2, self.i.shift2, self.i.observe != 0)
        lane = delay(m, self.i.lane, steps - 1, "lane")
        first = delay(m, self.i.first_key, steps - 1, "first")
        here, goes_on = (Signal(lanes, name=name, reset_less=True) for name in ("here", "goes_on"))  # one bit a lane
        last = delay(m, self.i.last_key, steps, "last")
        valid = delay_valid(m, self.i.valid, steps)
        new_sum, new_top, best = Signal(total_bits(self._arch)), Signal(5), Signal(5, reset_less=True)
        old_top, old_sum = Value.cast(0), Value.cast(0)
        for index in range(lanes):
            m.d.sync += [here[index].eq(lane == index), goes_on[index].eq((lane == index) & ~first)]
            old_top = old_top | Mux(goes_on[index], tops[index], 0)
            old_sum = old_sum | Mux(goes_on[index], sums[index], 0)
            with m.If(valid & here[index]):
                m.d.sync += [sums[index].eq(new_sum), tops[index].eq(new_top)]
        m.d.comb += [new_sum.eq(old_sum + total), new_top.eq(larger(octave, old_top))]
        m.d.sync += [row.valid.eq(valid & last), row.total.eq(new_sum), best.eq(new_top)]
        m.d.comb += [
            row.top.eq(best - _OCTAVE_BIAS),
            Cat(row.row, row.slot, row.mult, row.shift, row.observed).eq(delay(m, kept, steps + 1, "kept")),
        ]
