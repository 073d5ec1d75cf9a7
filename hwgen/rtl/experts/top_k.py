"""Top-K: which experts a token selects, by the rank of every logit."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.pipeline import delay

LOGIT_BITS = 16
COUNT_BITS = 6


class TopK(wiring.Component):
    """Selects the ``top_k`` largest of the first ``experts`` logits, ties to the lower index; ``golden.gate.top_k``.

    Every pair is compared once; the rank of a logit is the number of logits that beat it.

    Parameters
    ----------
    count: logits, 1..32.

    Members
    -------
    logits[i]: In(signed 16). experts: In(6). top_k: In(6).
    selected: Out(count), bit i: logit i is selected. present: Out(count), bit i: i < experts.
    largest: Out(signed 16). kept[i]: Out(signed 16), the logits, in step with the other outputs.

    Timing: ``latency`` cycles, one token a cycle: comparisons, ranks, selection.
    """

    latency = 3

    def __init__(self, count: int) -> None:
        if not 1 <= count <= 32:
            raise ValueError(f"TopK takes 1..32 logits, got {count}")
        self._count = count
        logits = data.ArrayLayout(signed(LOGIT_BITS), count)
        super().__init__(
            {
                "logits": In(logits),
                "experts": In(COUNT_BITS),
                "top_k": In(COUNT_BITS),
                "selected": Out(count),
                "present": Out(count),
                "largest": Out(signed(LOGIT_BITS)),
                "kept": Out(logits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Compare, count, select."""
        m = Module()
        count = self._count
        present = Signal(count, name="exists", reset_less=True)
        m.d.sync += [present[i].eq(i < self.experts) for i in range(count)]
        ranks = self._ranks(m, present)
        present_2 = delay(m, present, 1, "exists_ranked")
        top_k = delay(m, self.top_k, 2, "top_k")
        before = delay(m, self.logits.as_value(), 2, "logits")
        largest = 0
        for i, rank in enumerate(ranks):
            logit = before[LOGIT_BITS * i : LOGIT_BITS * (i + 1)]
            largest = largest | Mux(present_2[i] & (rank == 0), logit, 0)
            m.d.sync += self.selected[i].eq(present_2[i] & (rank < top_k))
        m.d.sync += [self.largest.eq(largest), self.present.eq(present_2), self.kept.eq(before)]
        return m

    def _ranks(self, m: Module, present: Signal) -> list[Signal]:
        """How many existing logits beat each one; two cycles after the logits."""
        count = self._count
        beaten: list[list] = [[] for _ in range(count)]
        for i in range(count):
            for j in range(i + 1, count):
                first = Signal(name=f"first_{i}_{j}", reset_less=True)
                m.d.sync += first.eq(self.logits[i] >= self.logits[j])
                beaten[j].append(first & present[i])
                beaten[i].append(~first & present[j])
        ranks = [Signal(COUNT_BITS, name=f"rank_{i}", reset_less=True) for i in range(count)]
        m.d.sync += [rank.eq(sum(wins, start=0)) for rank, wins in zip(ranks, beaten, strict=True)]
        return ranks
