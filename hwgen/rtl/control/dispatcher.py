"""Dispatcher: hands instructions, in program order, to the queue of their unit."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.decode import opcode_is
from hwgen.rtl.lib.interfaces import PC_BITS, issued
from hwgen.spec.choices import QUEUE_DEPTH
from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.ops import OPS

UNITS = (Unit.LOAD, Unit.IO, Unit.COMPUTE, Unit.NORM)


class Dispatcher(wiring.Component):
    """Decodes the opcode; an instruction whose queue is full holds up those behind it.

    Every instruction that comes is one of ``OPS``: ProgramFetch has checked it.

    Members
    -------
    instructions: In(stream of issued).
    load, io, compute, norm: Out(stream of issued), one per unit.
    ended: Out(1), END was reached; nothing is taken any more. empty: Out(1), no instruction waits in a queue.
    pc: Out(16), index of the next instruction.

    Timing: ``latency`` = 2 cycles through an empty queue (0 for load); one instruction a cycle.
    """

    latency = 2

    def __init__(self) -> None:
        streams = {unit.name.lower(): Out(stream.Signature(issued())) for unit in UNITS}
        super().__init__(
            {
                "instructions": In(stream.Signature(issued())),
                **streams,
                "ended": Out(1),
                "empty": Out(1),
                "pc": Out(PC_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Opcode to unit, then one queue per unit."""
        m = Module()
        word, pc = self.instructions.payload.word, self.instructions.payload.pc
        available, stopped = Signal(), Signal()
        m.d.comb += available.eq(self.instructions.valid & ~stopped)
        takes, empty = Const(0, 1), Const(1, 1)
        for unit in UNITS:
            chosen = Signal(name=f"for_{unit.name.lower()}")
            opcodes = [opcode for opcode, form in OPS.items() if form.unit == unit]
            m.d.comb += chosen.eq(Cat(*(opcode_is(word, opcode) for opcode in opcodes)).any())
            room, vacant = self._queue(m, unit, available & chosen)
            takes, empty = takes | (chosen & room), empty & vacant
        end = opcode_is(word, Opcode.END)
        m.d.comb += [
            self.instructions.ready.eq(~stopped & (takes | end)),
            self.empty.eq(empty),
        ]
        with m.If(available & end):
            m.d.sync += [stopped.eq(1), self.ended.eq(1)]
        with m.If(self.instructions.valid & self.instructions.ready):
            m.d.sync += self.pc.eq(pc + 1)
        return m

    def _queue(self, m: Module, unit: Unit, push: Value) -> tuple[Value, Value]:
        """The way to one unit; whether there is room, and whether nothing waits."""
        port = getattr(self, unit.name.lower())
        item = self.instructions.payload
        if unit not in QUEUE_DEPTH:
            m.d.comb += [port.payload.eq(item), port.valid.eq(push)]
            return port.ready, Const(1, 1)
        queue = SyncFIFOBuffered(width=issued().size, depth=QUEUE_DEPTH[unit])
        m.submodules[f"{unit.name.lower()}_queue"] = queue
        m.d.comb += [
            queue.w_data.eq(item),
            queue.w_en.eq(push),
            port.payload.as_value().eq(queue.r_data),
            port.valid.eq(queue.r_rdy),
            queue.r_en.eq(port.ready),
        ]
        return queue.w_rdy, queue.level == 0
