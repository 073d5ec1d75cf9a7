"""Issue gate: whether the step at hand may go to the array in this cycle. The tightest loop of the machine."""

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

STEP = ("is_scores", "is_skip", "enters", "uses", "head", "last", "gate", "result")


class IssueGate(wiring.Component):
    """Rows, weights and room; a module of its own, so that nothing else shares its few levels of logic.

    Members
    -------
    busy: In(1), there is a step; its flags under the names in ``STEP`` (`step_layout`): In(1).
    one_row, all_rows: In(1), row slots loaded and not begun: one; one for every lane.
    word, words, param: In(1), the next weight tile is there; so are all that a SKIP passes by; parameters are there.
    settled: In(1), ``words``, a cycle old, is about this step.
    drained: In(1), the accumulators take another tile. gate_space, result_space: In(1), room for its rows.
    operand_ok, weight_ok, drain_ok: Out(1). go: Out(1), all of them.

    Timing: combinational.
    """

    def __init__(self) -> None:
        there = ("one_row", "all_rows", "word", "words", "settled", "param", "drained", "gate_space", "result_space")
        super().__init__(
            {
                **{name: In(1) for name in ("busy", *STEP, *there)},
                **{name: Out(1) for name in ("operand_ok", "weight_ok", "drain_ok", "go")},
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Three conditions and their conjunction."""
        m = Module()
        weights = Mux(self.is_skip, self.words & self.settled, self.word) & (~self.head | self.param)
        room = (~self.gate | self.gate_space) & (~self.result | self.result_space)
        m.d.comb += [
            self.operand_ok.eq(~self.enters | Mux(self.is_scores, self.one_row, self.all_rows)),
            self.weight_ok.eq(~self.uses | weights),
            self.drain_ok.eq((~self.last | self.drained) & (~self.head | room)),
            self.go.eq(self.busy & self.operand_ok & self.weight_ok & self.drain_ok),
        ]
        return m
