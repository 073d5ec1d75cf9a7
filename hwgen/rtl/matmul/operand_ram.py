"""Operand tile RAM: two slots of token_lanes rows, written word by word, read one chunk of every lane a cycle."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.spec.arch import ArchConfig
from hwgen.spec.choices import READ_LATENCY


class OperandRam(wiring.Component):
    """The A operand of the current and the next tile of rows.

    Parameters
    ----------
    arch: the machine; a row has ``words(max_inputs)`` words.

    Members
    -------
    w_enable, w_lane, w_slot, w_word, w_data: In, one word (output_lanes bytes) of one row.
    r_word, r_sub: In, the chunk that every lane reads: word of the row and chunk in the word.
    r_slots: In(token_lanes), slot of every lane.
    a: Out(Pt x Pi int8), the operands.

    Timing: ``a`` is valid ``latency`` = READ_LATENCY + 1 cycles after ``r_word``.
    """

    latency = READ_LATENCY + 1

    def __init__(self, arch: ArchConfig) -> None:
        lanes, self._depth = arch.token_lanes, arch.words(arch.max_inputs)
        super().__init__(
            {
                "w_enable": In(1),
                "w_lane": In(range(max(lanes, 2))),
                "w_slot": In(1),
                "w_word": In(10),
                "w_data": In(8 * arch.output_lanes),
                "r_word": In(10),
                "r_sub": In(4),
                "r_slots": In(lanes),
                "a": Out(data.ArrayLayout(data.ArrayLayout(signed(8), arch.input_lanes), lanes)),
            }
        )
        self._arch = arch

    def elaborate(self, platform: object) -> Module:
        """One memory per lane; the sub-word is chosen behind the output register."""
        m = Module()
        sub = Signal.like(self.r_sub)
        delayed = self.r_sub
        for stage in range(READ_LATENCY):
            following = sub if stage == READ_LATENCY - 1 else Signal.like(sub, name=f"sub_{stage}")
            m.d.sync += following.eq(delayed)
            delayed = following
        for lane in range(self._arch.token_lanes):
            self._lane(m, lane, sub)
        return m

    def _lane(self, m: Module, lane: int, sub: Signal) -> None:
        bits = 8 * self._arch.input_lanes
        span = 1 << (self._depth - 1).bit_length()
        m.submodules[f"lane_{lane}"] = memory = Memory(shape=8 * self._arch.output_lanes, depth=2 * span, init=[])
        write, read = memory.write_port(), memory.read_port()
        word = Signal(8 * self._arch.output_lanes, name=f"word_{lane}")
        m.d.comb += [
            write.addr.eq(self.w_word[: span.bit_length() - 1] + self.w_slot * span),
            write.data.eq(self.w_data),
            write.en.eq(self.w_enable & (self.w_lane == lane)),
            read.addr.eq(self.r_word[: span.bit_length() - 1] + self.r_slots[lane] * span),
        ]
        m.d.sync += [word.eq(read.data), self.a[lane].eq(word.word_select(sub, bits))]
