"""Gate unit: logits of a token become its experts and their scores, pushed to the expert queues."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.experts.gate_buffer import GateBuffer, gate_token
from hwgen.rtl.experts.gate_exponentials import GateExponentials, total_bits
from hwgen.rtl.experts.top_k import TopK
from hwgen.rtl.lib.gated_product import gated_sums
from hwgen.rtl.lib.interfaces import logit_row, progress_pulse, queue_push, table_bus
from hwgen.rtl.lib.pipeline import delay, delay_valid, half_up
from hwgen.rtl.lib.reciprocal import Reciprocal
from hwgen.rtl.lib.trace import channel_signature
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Counter

_PUSH_CYCLES = 4  # scores' factor known to the first push: load, gated sums, product, rounding
_GROUP_BITS = 4  # of the reciprocal, in one register of the product


class GateUnit(wiring.Component):
    """Selects the experts of every token and scores them, without a multiplier; ``golden.gate.gate``.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In(logit_row(arch)), no back-pressure; ``first_tile`` empties all queues before the first push.
    space: Out(1): a token tile may be issued: all tokens that have been issued and have not arrived yet, this tile
    included, find room as long as they are at most ``gate_buffer.PROMISED_ROWS``.
    table: In(table_bus).
    push: Out(queue_push()), the experts of a token in ascending order; tokens in the order of arrival.
    progress: Out(progress_pulse), GATE, one per token, in the cycle after its last push: its entries are readable.
    trace: Out, trace channel ``gate``, one record per push.
    idle: Out(1), no token inside.

    Timing: a token that finds the unit idle is counted ``latency(top_k)`` cycles after its last row; tokens that wait
    are counted every ``interval(top_k)`` cycles.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        self._count = arch.max_experts
        self._finished = Signal()  # the last push of a token
        self._to_x = GateBuffer.latency + TopK.latency + GateExponentials.x_latency  # token taken to exponentials
        self._to_sum = GateBuffer.latency + TopK.latency + GateExponentials.latency_of(self._count)
        self._to_push = self._to_sum + Reciprocal.latency_of(total_bits(self._count))  # ... to the scores' factor
        super().__init__(
            {
                "i": In(logit_row(arch)),
                "space": Out(1),
                "table": In(table_bus()),
                "push": Out(queue_push()),
                "progress": Out(progress_pulse()),
                "trace": Out(channel_signature("gate", arch)),
                "idle": Out(1),
            }
        )

    def latency(self, top_k: int) -> int:
        """Cycles from a token's last row to its progress pulse."""
        return 1 + self._to_push + _PUSH_CYCLES + (top_k - 1) + 1

    def interval(self, top_k: int) -> int:
        """Cycles from token to token."""
        return top_k

    def elaborate(self, platform: object) -> Module:
        """Buffer, selection, exponentials, reciprocal, scores one expert a cycle."""
        m = Module()
        m.submodules.buffer = buffer = GateBuffer(self._arch)
        wiring.connect(m, wiring.flipped(self.i), buffer.i)
        m.d.comb += self.space.eq(buffer.space)
        self._take(m, buffer)
        selected, x, factor = self._score(m, buffer)
        self._push(m, buffer, selected, x, factor)
        self._count_tokens(m)
        return m

    def _take(self, m: Module, buffer: GateBuffer) -> None:
        """A token every ``top_k`` cycles, as fast as its experts can be pushed."""
        wait = Signal(6)
        top_k = buffer.token.top_k
        m.d.comb += buffer.take.eq((buffer.level != 0) & (wait == 0))
        with m.If(buffer.take):
            m.d.sync += wait.eq(Mux(top_k == 0, 0, top_k - 1))
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)

    def _score(self, m: Module, buffer: GateBuffer) -> tuple[Value, Value, Value]:
        """Selection, exponentials and, ``_to_push`` cycles after ``take``, a cycle later, (reciprocal, exponent)."""
        m.submodules.top_k = top = TopK(self._count)
        m.submodules.exponentials = powers = GateExponentials(self._count)
        m.submodules.reciprocal = reciprocal = Reciprocal(total_bits(self._count))
        wiring.connect(m, wiring.flipped(self.table), powers.table, reciprocal.table)
        in_top = delay(m, Cat(buffer.token.experts, buffer.token.top_k), buffer.latency, "in_top")
        renormalise = delay(m, buffer.token.renormalise, buffer.latency + top.latency, "renormalise")
        m.d.comb += [
            top.logits.eq(buffer.logits),
            Cat(top.experts, top.top_k).eq(in_top),
            powers.logits.eq(top.kept),
            powers.largest.eq(top.largest),
            powers.present.eq(top.present),
            powers.summed.eq(Mux(renormalise, top.selected, top.present)),
            reciprocal.x.eq(powers.total),
        ]
        selected = delay(m, top.selected, self._to_push - 1 - buffer.latency - top.latency, "selected")
        x = delay(m, Value.cast(powers.x), self._to_push - 1 - self._to_x, "x")
        return selected, x, Cat(reciprocal.value, reciprocal.exponent)

    def _push(self, m: Module, buffer: GateBuffer, selected: Value, x: Value, factor: Value) -> None:
        """Lowest remaining expert of the token in each cycle; product with the reciprocal; rounding."""
        arrives = delay_valid(m, buffer.take, self._to_push - 1)
        token = delay(m, buffer.token.as_value(), self._to_push - 1, "token")
        held, first, busy = Signal(gate_token(), reset_less=True), Signal(reset_less=True), Signal()
        powers = Signal(len(x), reset_less=True)
        pending, lowest, rest = (Signal(self._count, name=name) for name in ("pending", "lowest", "rest"))
        last = Signal()
        m.d.comb += [pending.eq(Mux(arrives, selected, rest)), last.eq(busy & (rest == 0))]
        m.d.sync += [rest.eq(pending & (pending - 1)), lowest.eq(pending & ~(pending - 1)), first.eq(arrives)]
        m.d.sync += busy.eq(arrives | (busy & ~last))
        with m.If(arrives):
            m.d.sync += [held.eq(token), powers.eq(x)]
        held_factor = Signal(len(factor), reset_less=True)
        with m.If(first):
            m.d.sync += held_factor.eq(factor)
        self._scores(m, powers, lowest, held_factor)
        m.d.comb += [
            self.push.valid.eq(delay_valid(m, busy & lowest.any(), _PUSH_CYCLES)),
            self.push.clear.eq(delay_valid(m, busy & first & held.clear, _PUSH_CYCLES)),
            self.push.token.eq(delay(m, held.row, _PUSH_CYCLES, "row")),
            self.push.pc.eq(delay(m, held.pc, _PUSH_CYCLES, "pc")),
            self._finished.eq(delay_valid(m, last, _PUSH_CYCLES)),
        ]

    def _scores(self, m: Module, powers: Signal, lowest: Signal, factor: Signal) -> None:
        """Exponential of the ``lowest`` expert times the reciprocal of the next cycle, rounded at its exponent."""
        reciprocal, exponent = factor[:16], factor[16:]
        chosen, expert = 0, 0
        for i in range(self._count):
            chosen = chosen | Mux(lowest[i], powers[16 * i : 16 * (i + 1)], 0)
            expert = expert | Mux(lowest[i], i, 0)
        power, product = Signal(16, reset_less=True), Signal(32, reset_less=True)
        m.d.sync += [
            power.eq(chosen),
            product.eq(sum(gated_sums(m, power, reciprocal, _GROUP_BITS), start=Value.cast(0))),
            self.push.score.eq(half_up(product, delay(m, exponent, 2, "exponent"))),
        ]
        m.d.sync += self.push.expert.eq(delay(m, Value.cast(expert), _PUSH_CYCLES - 1, "expert"))

    def _count_tokens(self, m: Module) -> None:
        """Progress, trace and the number of tokens inside."""
        inside = Signal(10)
        m.d.sync += [
            self.progress.valid.eq(self._finished),
            inside.eq(inside + (self.i.valid & self.i.last_tile) - self.progress.valid),
        ]
        m.d.comb += [
            self.progress.counter.eq(int(Counter.GATE)),
            self.progress.count.eq(1),
            self.idle.eq((inside == 0) & ~self.i.valid),
            self.trace.valid.eq(self.push.valid),
        ]
        m.d.comb += [getattr(self.trace, n).eq(getattr(self.push, n)) for n in ("pc", "token", "expert", "score")]
