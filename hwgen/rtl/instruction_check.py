"""Instruction check: puts the two beats of an instruction together and refuses what the compiler did not write."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi import DATA_BITS
from hwgen.rtl.decode import opcode_is
from hwgen.rtl.interfaces import PC_BITS, fault, issued
from hwgen.spec.isa import CHECKED_BYTES, FORMATS, INSTRUCTION_BYTES, ErrorCode

WORD_BITS = 8 * INSTRUCTION_BYTES
CHECK_BITS = WORD_BITS - 8 * CHECKED_BYTES


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
    fault: Out(fault), pulse instead of ``valid``: CHECKSUM or ILLEGAL_INSTRUCTION.
    busy: Out(1), an instruction has come and neither left nor been refused in an earlier cycle; there is one at most.

    Timing: ``latency`` = 2 cycles from ``high`` to ``valid`` or ``fault.valid``; an instruction every two cycles.
    Equals ``unseal`` and ``decode`` of hwgen/spec/isa.py.
    """

    latency = 2

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
        """The word and its checksum in one cycle, what they say in the next."""
        m = Module()
        low = Signal(DATA_BITS, reset_less=True)
        word, pc = Signal(WORD_BITS, reset_less=True), Signal(PC_BITS, reset_less=True)
        whole, checked = Signal(), Signal()
        with m.If(self.low):
            m.d.sync += low.eq(self.data)
        with m.If(self.high):  # the next low half comes before this word has left
            m.d.sync += [word.eq(Cat(low, self.data)), pc.eq(self.pc)]
        m.d.sync += [whole.eq(self.high), checked.eq(whole)]
        intact, legal = Signal(), Signal()
        m.d.sync += [intact.eq(self._intact(m)), legal.eq(self._legal(m, word))]
        m.d.comb += [
            self.item.word.eq(word[: 8 * CHECKED_BYTES]),
            self.item.pc.eq(pc),
            self.valid.eq(checked & intact & legal),
            self.fault.valid.eq(checked & ~(intact & legal)),
            self.fault.code.eq(Mux(intact, ErrorCode.ILLEGAL_INSTRUCTION, ErrorCode.CHECKSUM)),
            self.fault.pc.eq(pc),
            self.busy.eq(whole | checked),
        ]
        return m

    def _intact(self, m: Module) -> Value:
        """Whether the checksum of the word that came last is right; known in the cycle after ``high``."""
        crc: Any = catalog.CRC16_IBM_3740(data_width=DATA_BITS).create()  # the stubs lack its ports
        m.submodules.crc = crc
        index = Signal(DATA_BITS)
        with m.If(self.high):
            m.d.comb += index.eq(self.pc)  # the checksum, high byte first, is what the CRC takes last
        m.d.comb += [
            crc.start.eq(self.low),
            crc.valid.eq(self.low | self.high),
            crc.data.eq(bytes_first(self.data) ^ index),
        ]
        return crc.match_detected

    @staticmethod
    def _legal(m: Module, word: Signal) -> Value:
        """Whether the opcode of ``word`` exists and no bit above its fields is set.

        Fields lie without gaps, so the bits above the end of one format are those up to the next longer format's end
        and those above that one.
        """
        ends = sorted({form.bits for form in FORMATS.values()})
        above: dict[int, Value] = {8 * CHECKED_BYTES: Const(0, 1)}
        for end, longer in reversed(list(pairwise([*ends, 8 * CHECKED_BYTES]))):
            above[end] = Signal(name=f"above_{end}")
            m.d.comb += above[end].eq(word[end:longer].any() | above[longer])
        return Cat(opcode_is(word, opcode) & ~above[form.bits] for opcode, form in FORMATS.items()).any()
