"""Program fetch: reads and checks instructions ahead of the dispatcher, up to END."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.rtl.axi.bus import axi4_read, on_bus
from hwgen.rtl.axi.read_engine import ReadEngine
from hwgen.rtl.control.instruction_check import InstructionCheck
from hwgen.rtl.lib.decode import opcode_is
from hwgen.rtl.lib.interfaces import PC_BITS, fault, issued
from hwgen.rtl.lib.stream_buffer import StreamBuffer
from hwgen.spec.arch import BEAT_BYTES, ArchConfig
from hwgen.spec.choices import FETCH_AHEAD
from hwgen.spec.isa import FETCH_BYTES, INSTRUCTION_BYTES, Opcode

CHUNK = FETCH_BYTES // INSTRUCTION_BYTES  # instructions read at a time


class ProgramFetch(wiring.Component):
    """Reads the program in chunks of ``CHUNK`` instructions, the next one when the last has come without END.

    Members
    -------
    start: In(1), pulse after a reset. program: In(64), address of instruction 0, multiple of 32.
    instructions: Out(stream of issued), END is the last one; none at or behind one that is damaged or illegal.
    fault: Out(fault), pulse, such an instruction. It may come while others before it still wait here.
    bus: Out(axi4_read). halt, busy, error, beat: as in ReadEngine.

    Timing: ``latency`` cycles from the second beat of an instruction to ``instructions.valid`` when nothing waits.
    """

    latency = InstructionCheck.latency + 1 + StreamBuffer.latency  # and a cycle through the queue

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "start": In(1),
                "program": In(64),
                "instructions": Out(stream.Signature(issued())),
                "fault": Out(fault()),
                "bus": Out(axi4_read()),
                "halt": In(1),
                "busy": Out(1),
                "error": Out(1),
                "beat": Out(1),
            }
        )
        self._arch = arch

    def elaborate(self, platform: object) -> Module:
        """An engine, a check, a queue, and the chunk counter between them."""
        m = Module()
        engine = ReadEngine(self._arch)
        m.submodules.engine = on_bus(engine)
        m.submodules.check = check = InstructionCheck()
        m.submodules.queue = queue = SyncFIFO(width=issued().size, depth=FETCH_AHEAD)
        m.submodules.out = out = StreamBuffer(issued())
        connect(m, engine.bus, flipped(self.bus))
        m.d.comb += [
            engine.halt.eq(self.halt),
            self.busy.eq(engine.busy),
            self.error.eq(engine.error),
            self.beat.eq(engine.beat),
            out.i.payload.as_value().eq(queue.r_data),
            out.i.valid.eq(queue.r_rdy),
            queue.r_en.eq(out.i.ready),
        ]
        connect(m, out.o, flipped(self.instructions))
        connect(m, check.fault, flipped(self.fault))
        m.d.comb += [check.data.eq(engine.beats.payload), queue.w_data.eq(check.item), queue.w_en.eq(check.valid)]
        self._chunks(m, engine, check, queue)
        return m

    def _chunks(self, m: Module, engine: ReadEngine, check: InstructionCheck, queue: SyncFIFO) -> None:
        """Ask for a chunk when there is room, pair its beats, stop after END and after what is not right."""
        address = Signal(64)
        beat = Signal(range(CHUNK * INSTRUCTION_BYTES // BEAT_BYTES))
        end, ended, last = Signal(), Signal(), Signal()  # end: the instruction whose first beat came is END
        receiving, pc = Signal(), Signal(PC_BITS)
        m.d.comb += [
            engine.command.payload.address.eq(address),
            engine.command.payload.beats.eq(CHUNK * INSTRUCTION_BYTES // BEAT_BYTES),
            last.eq(beat.all()),
            engine.beats.ready.eq(receiving),
            check.low.eq(receiving & engine.beats.valid & ~beat[0]),
            check.high.eq(receiving & engine.beats.valid & beat[0] & ~ended),
            check.pc.eq(pc),
        ]
        with m.FSM(name="chunk"):
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [address.eq(self.program), pc.eq(0), ended.eq(0)]
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += engine.command.valid.eq(
                    (queue.level < FETCH_AHEAD - CHUNK) | ((queue.level == FETCH_AHEAD - CHUNK) & ~check.busy)
                )
                with m.If(engine.command.valid & engine.command.ready):
                    m.d.sync += address.eq(address + CHUNK * INSTRUCTION_BYTES)
                    m.d.sync += receiving.eq(1)
                    m.next = "RECEIVE"
            with m.State("RECEIVE"):
                with m.If(engine.beats.valid):
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(~beat[0]):
                        m.d.sync += end.eq(opcode_is(engine.beats.payload, Opcode.END))
                    with m.Elif(~ended):
                        m.d.sync += [pc.eq(pc + 1), ended.eq(end)]
                    with m.If(last):
                        m.d.sync += receiving.eq(0)
                        m.next = "NEXT"
            with m.State("NEXT"):
                with m.If(ended):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "REQUEST"
        with m.If(check.fault.valid):
            m.d.sync += ended.eq(1)
