"""Expert queues: which tokens each expert serves, and which experts have any (the meta-queue)."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import EXPERT_BITS, EXPERT_SCORE_BITS, ROW_BITS, queue_push
from hwgen.rtl.lib.pipeline import delay
from hwgen.spec.arch import ArchConfig
from hwgen.spec.choices import READ_LATENCY


class ExpertQueues(wiring.Component):
    """One queue of (token, score) per expert; ``golden.queues``.

    Pushes beyond ``max_experts`` or ``max_tokens`` are dropped.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    push: In(queue_push()), one a cycle; in ``length`` and readable in the next cycle.
    queue_expert: In(6), queue_position: In(12) -> queue_token: Out(12), queue_score: Out(16), READ_LATENCY later.
    length_expert: In(6) -> length: Out(12), tokens of that expert; more: Out(1), an expert after it has tokens;
    next_expert: Out(6), the first of those (meaningless without ``more``). All three in the same cycle.
    first_valid: Out(1), first_expert: Out(6): the first expert that has tokens.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "push": In(queue_push()),
                "queue_expert": In(EXPERT_BITS),
                "queue_position": In(ROW_BITS),
                "queue_token": Out(ROW_BITS),
                "queue_score": Out(EXPERT_SCORE_BITS),
                "length_expert": In(EXPERT_BITS),
                "length": Out(ROW_BITS),
                "more": Out(1),
                "next_expert": Out(EXPERT_BITS),
                "first_valid": Out(1),
                "first_expert": Out(EXPERT_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Lengths in registers, entries in a memory."""
        m = Module()
        experts = self._arch.max_experts
        lengths = [Signal(ROW_BITS, name=f"length_{expert}") for expert in range(experts)]
        filled, after = Signal(experts), Signal(experts)  # bit i: expert i has tokens; an expert after i has
        self._push(m, lengths, filled, after)
        self._lookup(m, lengths, filled, after)
        return m

    def _place(self, expert: Value, position: Value) -> Value:
        """Address of an entry."""
        return Cat(position[: (self._arch.max_tokens - 1).bit_length()], expert)

    def _push(self, m: Module, lengths: list[Signal], filled: Signal, after: Signal) -> None:
        experts, tokens = self._arch.max_experts, self._arch.max_tokens
        slots = experts << (tokens - 1).bit_length()
        m.submodules.entries = entries = Memory(shape=unsigned(ROW_BITS + EXPERT_SCORE_BITS), depth=slots, init=[])
        write, read = entries.write_port(), entries.read_port()
        held, position, accept = Signal(ROW_BITS), Signal(ROW_BITS), Signal()
        m.d.comb += [
            held.eq(Array(lengths)[self.push.expert[: max(1, (experts - 1).bit_length())]]),  # every case is listed
            position.eq(Mux(self.push.clear, 0, held)),
            accept.eq(self.push.valid & (self.push.expert < experts) & (position < tokens)),
            write.en.eq(accept),
            write.addr.eq(self._place(self.push.expert, position)),
            write.data.eq(Cat(self.push.token, self.push.score)),
            read.addr.eq(self._place(self.queue_expert, self.queue_position)),
            Cat(self.queue_token, self.queue_score).eq(delay(m, read.data, READ_LATENCY - 1, "entry")),
        ]
        for expert, length in enumerate(lengths):
            with m.If(accept & (self.push.expert == expert)):
                m.d.sync += [length.eq(position + 1), filled[expert].eq(1)]
            with m.Elif(self.push.clear):
                m.d.sync += [length.eq(0), filled[expert].eq(0)]
            with m.If(accept & (self.push.expert > expert)):
                m.d.sync += after[expert].eq(1)
            with m.Elif(self.push.clear):
                m.d.sync += after[expert].eq(0)

    def _lookup(self, m: Module, lengths: list[Signal], filled: Signal, after: Signal) -> None:
        """Length by index; first and next expert with tokens."""
        m.d.comb += self.length.eq(Array(lengths)[self.length_expert[: max(1, (len(lengths) - 1).bit_length())]])
        later = Signal(len(lengths))  # experts after the one asked for; the first expert comes after none
        for expert in range(1, len(lengths)):
            m.d.comb += later[expert].eq(filled[expert] & (self.length_expert < expert))
        m.d.comb += [
            Cat(self.first_expert, self.first_valid).eq(_first(filled)),
            self.next_expert.eq(_first(later)[:EXPERT_BITS]),
            self.more.eq((Value.cast(after) >> self.length_expert)[0]),
        ]


def _first(bits: Value) -> Value:
    """Index of the lowest bit that is set, EXPERT_BITS of them, and above these whether there is one."""
    found: list[tuple[Value, Value]] = [(bit, Const(index, EXPERT_BITS)) for index, bit in enumerate(bits)]
    while len(found) > 1:
        pairs = zip(found[::2], found[1::2], strict=False)
        joined = [(low | high, Mux(low, low_index, high_index)) for (low, low_index), (high, high_index) in pairs]
        found = joined + found[2 * len(joined) :]
    return Cat(found[0][1], found[0][0])
