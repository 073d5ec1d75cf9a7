"""Gate exponentials: powers of two of every logit below the largest, and their exact sum."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.experts.top_k import LOGIT_BITS
from hwgen.rtl.lib.interfaces import table_bus
from hwgen.rtl.lib.interpolation import DirectTable, table_info
from hwgen.rtl.lib.pipeline import add, delay, tree
from hwgen.spec.choices import ADDER_LEVELS
from hwgen.spec.numerics import NUMERICS
from hwgen.spec.stages import tree_stages

FRACTION_BITS = NUMERICS.gate_fraction_bits


def total_bits(count: int) -> int:
    """Bits of the sum of ``count`` exponentials."""
    return 16 + (count - 1).bit_length()


class GateExponentials(wiring.Component):
    """``golden.gate.gate_exponentials`` of every existing expert, and the sum that normalises the scores.

    Parameters
    ----------
    count: experts.

    Members
    -------
    logits[i]: In(signed 16). largest: In(signed 16). present: In(count), experts that exist; summed: In(count), those
    that enter the sum. table: In(table_bus).
    x[i]: Out(16), UQ1.15, zero for experts that do not exist, ``x_latency`` cycles later.
    total: Out, sum of the ``summed``, ``latency`` cycles later.

    Timing: one token a cycle.
    """

    x_latency = 3  # distance, table, shift

    @staticmethod
    def latency_of(count: int) -> int:
        """``latency`` before there is an instance."""
        return GateExponentials.x_latency + tree_stages(count, ADDER_LEVELS)

    def __init__(self, count: int) -> None:
        if not 1 <= count <= 32:
            raise ValueError(f"GateExponentials takes 1..32 experts, got {count}")
        self._count = count
        self.latency = self.latency_of(count)
        super().__init__(
            {
                "logits": In(data.ArrayLayout(signed(LOGIT_BITS), count)),
                "largest": In(signed(LOGIT_BITS)),
                "present": In(count),
                "summed": In(count),
                "table": In(table_bus()),
                "x": Out(data.ArrayLayout(16, count)),
                "total": Out(total_bits(count)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Distance to the largest, table, shift; adder tree."""
        m = Module()
        m.submodules.exp2 = exp2 = DirectTable(table_info("gate_exp2"), 16, self._count, 1)
        wiring.connect(m, wiring.flipped(self.table), exp2.table)
        present = delay(m, self.present, 2, "present")
        summed = delay(m, self.summed, self.x_latency, "summed")
        terms = []
        for i in range(self._count):
            distance = Signal(LOGIT_BITS + 1, name=f"distance_{i}", reset_less=True)
            x = Signal(16, name=f"x_{i}", reset_less=True)
            octaves = delay(m, distance[FRACTION_BITS:], 1, f"octaves_{i}")
            m.d.comb += [exp2.index[i].eq(distance[:FRACTION_BITS]), self.x[i].eq(x)]
            m.d.sync += [
                distance.eq(self.largest - self.logits[i]),
                x.eq(Mux(present[i] & (octaves < 16), exp2.value[i] >> octaves[:4], 0)),
            ]
            terms.append(Mux(summed[i], x, 0))
        m.d.comb += self.total.eq(tree(m, terms, add, ADDER_LEVELS, "total"))
        return m
