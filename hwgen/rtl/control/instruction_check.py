"""Instruction check: puts the two beats of an instruction together and refuses what the compiler did not write."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.bus import DATA_BITS
from hwgen.rtl.lib.decode import opcode_is
from hwgen.rtl.lib.interfaces import PC_BITS, fault, issued
from hwgen.spec.isa import CHECKED_BYTES, INSTRUCTION_BYTES, ErrorCode
from hwgen.spec.ops import OPS

WORD_BITS = 8 * INSTRUCTION_BYTES
# Fields lie without gaps: from where those of one format end to where those of the next longer one do.
PARTS = tuple(pairwise([*sorted({form.bits for form in OPS.values()}), 8 * CHECKED_BYTES]))


def bytes_first(beat: Value) -> Value:
    """``beat`` with its lowest byte in the highest bits: the order in which a CRC over memory takes it."""
    return Cat(*reversed([beat[at : at + 8] for at in range(0, len(beat), 8)]))


class InstructionCheck(wiring.Component):
    """An instruction leaves whole, with its checksum and its reserved bits found right, or as a fault.

    Members
    -------
    low, high: In(1), ``data`` is the first or the second beat of an instruction; never both. data: In(128).
    pc: In(16), index of the instruction, read with ``high``.
    valid: Out(1), pulse, ``item``: Out(issued) is good; its bits above 239 are zero.
    fault: Out(fault), pulse instead of ``valid``: CHECKSUM or ILLEGAL_INSTRUCTION. Nothing is valid behind it.
    busy: Out(1), an instruction that came in an earlier cycle has not left.

    Timing: ``latency`` = 3 cycles from ``high`` to ``valid`` or ``fault.valid``; an instruction every two cycles.
    Equals ``unseal`` and ``decode`` of hwgen/spec/encoding.py.
    """

    latency = 3

    def __init__(self) -> None:
        super().__init__(
            {
                "low": In(1),
                "high": In(1),
                "data": In(DATA_BITS),
                "pc": In(PC_BITS),
                "valid": Out(1),
                "item": Out(issued()),
                "fault": Out(fault()),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Beats, the word and its checksum, what they say: a cycle each, since beats arrive late in theirs."""
        m = Module()
        beats, index = Signal(WORD_BITS, reset_less=True), Signal(PC_BITS, reset_less=True)  # the two latest
        word, pc = Signal(WORD_BITS, reset_less=True), Signal(PC_BITS, reset_less=True)
        first, second, whole, checked, stopped = (
            Signal(name=name) for name in ("first", "second", "whole", "checked", "stopped")
        )
        with m.If(self.low | self.high):
            m.d.sync += beats.eq(Cat(beats[DATA_BITS:], self.data))
        m.d.sync += [index.eq(self.pc), first.eq(self.low), second.eq(self.high)]
        filled = Signal(len(PARTS), reset_less=True)  # with the word, or opcode and parts are too much for one cycle
        with m.If(second):
            m.d.sync += [word.eq(beats), pc.eq(index), filled.eq(Cat(beats[low:high].any() for low, high in PARTS))]
        m.d.sync += [whole.eq(second), checked.eq(whole)]
        intact, legal, good = Signal(), Signal(), Signal()
        m.d.sync += [
            intact.eq(self._intact(m, first, second, beats[DATA_BITS:], index)),
            legal.eq(self._legal(word, filled)),
        ]
        m.d.comb += [
            good.eq(intact & legal),
            self.item.word.eq(word[: 8 * CHECKED_BYTES]),
            self.item.pc.eq(pc),
            self.valid.eq(checked & good & ~stopped),
            self.fault.valid.eq(checked & ~good & ~stopped),
            self.fault.code.eq(Mux(intact, ErrorCode.ILLEGAL_INSTRUCTION, ErrorCode.CHECKSUM)),
            self.fault.pc.eq(pc),
            self.busy.eq(second | whole | checked),
        ]
        with m.If(self.fault.valid):
            m.d.sync += stopped.eq(1)
        return m

    @staticmethod
    def _intact(m: Module, first: Signal, second: Signal, beat: Value, index: Signal) -> Value:
        """Whether the checksum of the latest word is right; known in the cycle after ``second``."""
        crc: Any = catalog.CRC16_IBM_3740(data_width=DATA_BITS).create()  # the stubs lack its ports
        m.submodules.crc = crc
        expected = Signal(DATA_BITS)
        with m.If(second):
            m.d.comb += expected.eq(index)  # the checksum, high byte first, is what the CRC takes last
        m.d.comb += [
            crc.start.eq(first),
            crc.valid.eq(first | second),
            crc.data.eq(bytes_first(beat) ^ expected),
        ]
        return crc.match_detected

    @staticmethod
    def _legal(word: Signal, filled: Signal) -> Value:
        """Whether the opcode of ``word`` exists and none of the parts is ``filled`` that lie above its fields."""
        above = {end: filled[part:].any() for part, (end, _) in enumerate(PARTS)}
        return Cat(opcode_is(word, opcode) & ~above[form.bits] for opcode, form in OPS.items()).any()
