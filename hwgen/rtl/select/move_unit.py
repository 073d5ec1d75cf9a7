"""Move unit: runs GATHER and SCATTER, rows of the residual stream to other rows of it."""

from collections.abc import Mapping

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.decode import fields, opcode_is
from hwgen.rtl.lib.interfaces import (
    COUNTER_BITS,
    PC_BITS,
    PROGRESS_COUNTERS,
    WORD_ADDRESS_BITS,
    buffer_read,
    buffer_write,
    dropped_row,
    fault,
    issued,
)
from hwgen.rtl.lib.trace import channel_signature
from hwgen.rtl.select.fused_row import FusedRow
from hwgen.rtl.select.row_mover import RowMover, move_fields
from hwgen.rtl.select.start import may_start
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import LIST, RESIDUAL
from hwgen.spec.isa import ErrorCode, Opcode


class MoveUnit(wiring.Component):
    """Executes GATHER, which sums what was dropped before it moves rows, and SCATTER.

    Parameters
    ----------
    arch: the machine; it has lists.

    Members
    -------
    i: In stream of ``issued()``, GATHER and SCATTER only; an instruction is taken in the cycle of ``finished``.
    counters: In, progress counters.
    dropped: In(dropped_row()), of the selection before.
    list: Out(buffer_read(LIST)). residual: Out(buffer_read(RESIDUAL)), residual_write: Out(buffer_write(RESIDUAL)).
    residual_taken: In(1), only where the residual has one copy: its port has another address in this cycle.
    trace: Out, trace channel ``move``, in the cycle of a write of a moved word.
    started, finished: Out(1) pulses; pc: Out(16), valid with both. idle: Out(1), no instruction present.
    fault: Out(fault): OUT_OF_BOUNDS, a word past the end of the residual buffer (it is not written) or a list past the
    end of its memory; ILLEGAL_INSTRUCTION, no rows or no words. The instruction ends all the same.

    Timing: ``started`` comes `WAIT_CYCLES` behind the instruction, ``wait_b`` reached. When nothing makes it wait,
    ``cycles(rows, words, dropped)`` from ``started`` to ``finished``; a cycle more for each one with
    ``residual_taken`` while words are read.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch, self._mover = arch, RowMover(arch)
        self._fused = FusedRow(arch) if arch.fuse_tokens else None
        self._shares = RESIDUAL.copies(arch) < RESIDUAL.readers
        super().__init__(
            {
                "i": In(stream.Signature(issued())),
                "counters": In(data.ArrayLayout(COUNTER_BITS, PROGRESS_COUNTERS)),
                "dropped": In(dropped_row()),
                "list": Out(buffer_read(LIST, arch)),
                "residual": Out(buffer_read(RESIDUAL, arch)),
                "residual_write": Out(buffer_write(RESIDUAL, arch)),
                **({"residual_taken": In(1)} if self._shares else {}),
                "trace": Out(channel_signature("move", arch)),
                "started": Out(1),
                "finished": Out(1),
                "pc": Out(PC_BITS),
                "idle": Out(1),
                "fault": Out(fault()),
            }
        )

    def cycles(self, rows: int, words: int, dropped: int = 0) -> int:
        """Cycles from ``started`` to ``finished``; ``dropped``: rows that are summed first."""
        summed = self._fused.cycles(dropped, words) if dropped and self._fused else 0
        return 2 + summed + self._mover.cycles(rows, words) + 1

    def elaborate(self, platform: object) -> Module:
        """Control, sum, mover."""
        m = Module()
        gather, scatter = (fields(opcode, self.i.payload.word) for opcode in (Opcode.GATHER, Opcode.SCATTER))
        scatters = opcode_is(self.i.payload.word, Opcode.SCATTER)
        f = {name: Signal(bits, name=f"field_{name}", reset_less=True) for name, bits in move_fields().items()}
        wait = {name: Mux(scatters, scatter[name], gather[name]) for name in ("wait_b", "wait_b_base")}
        m.d.sync += [f[name].eq(Mux(scatters, scatter[name], gather[name])) for name in f]  # a cycle before the start
        m.submodules.mover = mover = self._mover
        running, refused = Signal(), Signal()  # the second is known before the start
        begins, fuses = Signal(), Signal()
        m.d.sync += [begins.eq(self.started & ~refused), fuses.eq(gather["fuse"] & ~scatters)]
        summed = self._sum(m, f, begins & fuses)
        m.d.sync += mover.start.eq((begins & ~fuses) | summed)
        m.d.comb += [getattr(mover, f"field_{name}").eq(f[name]) for name in f]
        m.d.comb += mover.scatter.eq(scatters)
        self._control(m, wait, running, refused)
        self._ports(m)
        self._report(m, f, running, refused)
        return m

    def _sum(self, m: Module, f: Mapping[str, Value], start: Value) -> Value:
        """The fused row; whether it is written."""
        fused, dropped = self._fused, self.dropped
        if fused is None:
            return start
        m.submodules.fused = fused
        target = Signal(WORD_ADDRESS_BITS, reset_less=True)
        with m.If(dropped.fused):
            m.d.sync += target.eq(dropped.address)
        m.d.comb += [
            fused.clear.eq(dropped.clear),
            fused.put.eq(dropped.put),
            fused.address.eq(dropped.address),
            fused.weight.eq(dropped.weight),
            fused.target.eq(target),
            fused.words.eq(f["words"]),
            fused.start.eq(start),
        ]
        return fused.done

    def _control(self, m: Module, wait: dict[str, Value], running: Signal, refused: Signal) -> None:
        """One instruction at a time, taken when its last word is written."""
        ends = Signal()
        m.d.sync += ends.eq((self.started & refused) | self._mover.done)
        m.d.comb += [
            self.started.eq(may_start(m, self.counters, self.i.valid & ~running, wait["wait_b"], wait["wait_b_base"])),
            self.idle.eq(~self.i.valid),
            self.pc.eq(self.i.payload.pc),
            self.finished.eq(ends),
            self.i.ready.eq(ends),
        ]
        with m.If(self.started):
            m.d.sync += running.eq(1)
        with m.Elif(ends):
            m.d.sync += running.eq(0)

    def _ports(self, m: Module) -> None:
        """The residual buffer belongs to the sum while it adds, then to the mover; the trace shows what is moved."""
        mover, fused, summing = self._mover, self._fused, Signal()
        wiring.connect(m, mover.list, wiring.flipped(self.list))
        m.d.comb += [
            self.residual.address.eq(mover.residual.address),
            mover.residual.data.eq(self.residual.data),
            mover.residual_taken.eq(self.residual_taken if self._shares else 0),
        ]
        m.d.comb += [getattr(self.residual_write, name).eq(getattr(mover.write, name)) for name in _WRITE]
        if fused is not None:
            with m.If(fused.start):
                m.d.sync += summing.eq(1)
            with m.Elif(fused.done):
                m.d.sync += summing.eq(0)
            m.d.comb += [
                fused.residual.data.eq(self.residual.data),
                fused.residual_taken.eq(mover.residual_taken),
            ]
            with m.If(summing):
                m.d.comb += self.residual.address.eq(fused.residual.address)
                m.d.comb += [getattr(self.residual_write, name).eq(getattr(fused.write, name)) for name in _WRITE]
        m.d.comb += [
            self.trace.valid.eq(mover.write.enable),
            self.trace.pc.eq(self.pc),
            self.trace.row.eq(mover.row),
            self.trace.word.eq(mover.word),
            self.trace.data.eq(mover.write.data),
        ]

    def _report(self, m: Module, f: Mapping[str, Value], running: Signal, refused: Signal) -> None:
        """Instructions that cannot be, and words that do not exist."""
        illegal, beyond = Signal(), Signal()
        m.d.sync += illegal.eq((f["rows"] == 0) | (f["words"] == 0))
        m.d.sync += beyond.eq(f["list_base"] + f["rows"] > self._arch.list_entries)
        m.d.comb += refused.eq(illegal | beyond)
        outside = self._mover.outside | (self._fused.outside if self._fused is not None else 0)
        m.d.sync += [
            self.fault.valid.eq((self.started & refused) | (running & outside)),
            self.fault.code.eq(Mux(illegal, int(ErrorCode.ILLEGAL_INSTRUCTION), int(ErrorCode.OUT_OF_BOUNDS))),
            self.fault.pc.eq(self.pc),
        ]


_WRITE = ("enable", "address", "data")
