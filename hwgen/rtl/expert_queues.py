"""Expert queues: which tokens each expert serves, and which experts have any (the meta-queue)."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.rtl.interfaces import PC_BITS, READ_LATENCY, ROW_BITS
from hwgen.rtl.pipeline import delay
from hwgen.spec.arch import ArchConfig

EXPERT_BITS = 6
SCORE_BITS = 16


def queue_push() -> wiring.Signature:
    """One token for one expert."""
    return wiring.Signature(
        {
            "clear": Out(1),  # empty every queue, then push
            "valid": Out(1),
            "pc": Out(PC_BITS),
            "expert": Out(EXPERT_BITS),
            "token": Out(ROW_BITS),
            "score": Out(SCORE_BITS),  # UQ1.15
        }
    )


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
                "queue_score": Out(SCORE_BITS),
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
        self._push(m, lengths)
        self._lookup(m, lengths)
        return m

    def _place(self, expert: Value, position: Value) -> Value:
        """Address of an entry."""
        return Cat(position[: (self._arch.max_tokens - 1).bit_length()], expert)

    def _push(self, m: Module, lengths: list[Signal]) -> None:
        experts, tokens = self._arch.max_experts, self._arch.max_tokens
        slots = experts << (tokens - 1).bit_length()
        m.submodules.entries = entries = Memory(shape=unsigned(ROW_BITS + SCORE_BITS), depth=slots, init=[])
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
                m.d.sync += length.eq(position + 1)
            with m.Elif(self.push.clear):
                m.d.sync += length.eq(0)

    def _lookup(self, m: Module, lengths: list[Signal]) -> None:
        """Length by index; first and next expert with tokens."""
        m.d.comb += self.length.eq(Array(lengths)[self.length_expert[: max(1, (len(lengths) - 1).bit_length())]])
        for expert, length in reversed(list(enumerate(lengths))):
            filled = Signal(name=f"filled_{expert}")
            m.d.comb += filled.eq(length != 0)
            with m.If(filled):
                m.d.comb += [self.first_valid.eq(1), self.first_expert.eq(expert)]
            if expert:
                with m.If(filled & (self.length_expert < expert)):
                    m.d.comb += [self.more.eq(1), self.next_expert.eq(expert)]
