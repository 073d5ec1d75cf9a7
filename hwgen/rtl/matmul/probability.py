"""Probability lanes: scores of a row become the 7-bit operands of p.v."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import EXPONENTIAL_BITS, SCORE_BITS, SCORE_FRACTION_BITS, table_bus
from hwgen.rtl.lib.interpolation import DirectTable, table_info
from hwgen.rtl.lib.pipeline import delay_valid
from hwgen.spec.arch import ArchConfig

WINDOW_OCTAVES = 8  # below the row's largest octave by more than this, a probability is zero
_BASE_SHIFT = 6  # a UQ1.12 exponential of the top octave becomes 64..125


class ProbabilityLanes(wiring.Component):
    """``golden.softmax.probabilities`` for one word of scores a cycle; scores of keys that do not exist give zero.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    valid: In(1). scores[i]: In(signed 10). octave: In(signed 5), the largest of the row. mask: In, bit i: key i exists.
    table: In(table_bus).
    o_valid: Out(1). p[i]: Out(8), 0..127.

    Timing: ``latency`` cycles from ``valid`` to ``o_valid``; one word a cycle, no back-pressure.
    """

    latency = 2

    def __init__(self, arch: ArchConfig) -> None:
        self._lanes = arch.output_lanes
        super().__init__(
            {
                "valid": In(1),
                "scores": In(data.ArrayLayout(signed(SCORE_BITS), arch.output_lanes)),
                "octave": In(signed(5)),
                "mask": In(arch.output_lanes),
                "table": In(table_bus()),
                "o_valid": Out(1),
                "p": Out(data.ArrayLayout(8, arch.output_lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Table, then shift and round."""
        m = Module()
        m.submodules.exp2 = exp2 = DirectTable(table_info("exp2"), EXPONENTIAL_BITS, self._lanes, 0)
        wiring.connect(m, wiring.flipped(self.table), exp2.table)
        m.d.comb += self.o_valid.eq(delay_valid(m, self.valid, self.latency))
        for lane in range(self._lanes):
            self._lane(m, exp2, lane)
        return m

    def _lane(self, m: Module, exp2: DirectTable, lane: int) -> None:
        mantissa = Signal(EXPONENTIAL_BITS, name=f"mantissa_{lane}", reset_less=True)
        below = Signal(6, name=f"below_{lane}", reset_less=True)
        outside = Signal(name=f"outside_{lane}", reset_less=True)
        probability = Signal(8, name=f"probability_{lane}", reset_less=True)
        score = self.scores[lane]
        halves = (mantissa >> _BASE_SHIFT - 1) >> below[:4]
        m.d.comb += [exp2.index[lane].eq(score.as_unsigned()[:SCORE_FRACTION_BITS]), self.p[lane].eq(probability)]
        m.d.sync += [
            mantissa.eq(exp2.value[lane]),
            below.eq(self.octave - (score >> SCORE_FRACTION_BITS)),
            outside.eq(~self.mask[lane]),
            probability.eq(Mux(outside | (below > WINDOW_OCTAVES), 0, (halves + 1) >> 1)),
        ]
