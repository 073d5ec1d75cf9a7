"""Select unit: runs SELECT instructions, importances in, a list of rows out, and what is dropped."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.decode import fields
from hwgen.rtl.lib.interfaces import (
    COUNTER_BITS,
    PC_BITS,
    PROGRESS_COUNTERS,
    buffer_write,
    dropped_row,
    fault,
    importance_read,
    issued,
)
from hwgen.rtl.lib.pipeline import delay_valid
from hwgen.rtl.lib.trace import channel_signature
from hwgen.rtl.select.start import may_start
from hwgen.rtl.select.token_select import TokenSelect
from hwgen.rtl.select.token_sweep import TokenSweep, select_fields
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import LIST
from hwgen.spec.isa import ErrorCode, Opcode


class SelectUnit(wiring.Component):
    """Executes SELECT: search, then sweep; ``golden.select.kept`` and ``fused_weights``.

    Parameters
    ----------
    arch: the machine; ValueError when it has no lists.

    Members
    -------
    i: In stream of ``issued()``, SELECT only; an instruction is taken in the cycle of ``finished``.
    counters: In, progress counters.
    importance: Out(importance_read(arch)), of the observer.
    list: Out(buffer_write(LIST)). dropped: Out(dropped_row()), for the fused row.
    trace: Out, trace channel ``select``.
    started, finished: Out(1) pulses; pc: Out(16), valid with both. idle: Out(1), no instruction present.
    fault: Out(fault), in the cycle after ``started`` or later; the instruction ends all the same.
    ILLEGAL_INSTRUCTION: keep is 0, prefix + keep more than rows, no row of ``rows`` keys was observed, or there is
    to be a fused row of no rows, or on a machine that makes none. OUT_OF_BOUNDS: a list past the end of the memory, or
    a row that leaves past the end of what can be addressed.

    Timing: ``started`` comes `WAIT_CYCLES` behind the instruction, ``wait_b`` reached and the observer idle. When
    nothing makes it wait, ``cycles(rows, fuse)`` from ``started`` to ``finished``.
    """

    def __init__(self, arch: ArchConfig) -> None:
        if not arch.list_entries:
            raise ValueError("SelectUnit needs list_entries of at least 1, got 0")
        self._arch, self._search, self._sweep = arch, TokenSelect(arch), TokenSweep(arch)
        super().__init__(
            {
                "i": In(stream.Signature(issued())),
                "counters": In(data.ArrayLayout(COUNTER_BITS, PROGRESS_COUNTERS)),
                "importance": Out(importance_read(arch)),
                "list": Out(buffer_write(LIST, arch)),
                "dropped": Out(dropped_row()),
                "trace": Out(channel_signature("select", arch)),
                "started": Out(1),
                "finished": Out(1),
                "pc": Out(PC_BITS),
                "idle": Out(1),
                "fault": Out(fault()),
            }
        )

    def cycles(self, rows: int, *, fuse: bool) -> int:
        """Cycles from ``started`` to ``finished``."""
        return 1 + self._search.cycles(rows) + self._sweep.cycles(rows, fuse) + self._sweep.late + 2

    def elaborate(self, platform: object) -> Module:
        """Control, search, sweep."""
        m = Module()
        f = fields(Opcode.SELECT, self.i.payload.word)
        m.submodules.search, m.submodules.sweep = self._search, self._sweep
        running, refused = Signal(), Signal()  # the second is known before the start
        self._control(m, f, running, refused)
        self._connect_search(m, f, refused)
        self._connect_sweep(m, f)
        self._report(m, f, running, refused)
        return m

    def _control(self, m: Module, f: dict[str, Value], running: Signal, refused: Signal) -> None:
        """One instruction at a time, from its wait to the last row that leaves."""
        ends = Signal()
        swept = delay_valid(m, self._sweep.done, self._sweep.late + 1)
        offered = self.i.valid & ~running & self.importance.idle
        m.d.sync += ends.eq((self.started & refused) | swept)
        m.d.comb += [
            self.started.eq(may_start(m, self.counters, offered, f["wait_b"], f["wait_b_base"])),
            self.idle.eq(~self.i.valid),
            self.pc.eq(self.i.payload.pc),
            self.finished.eq(ends),
            self.i.ready.eq(self.finished),
        ]
        with m.If(self.started):
            m.d.sync += running.eq(1)
        with m.Elif(self.finished):
            m.d.sync += running.eq(0)

    def _connect_search(self, m: Module, f: dict[str, Value], refused: Signal) -> None:
        search, port = self._search, self.importance
        m.d.sync += search.start.eq(self.started & ~refused)
        m.d.comb += search.words.eq(port.words)
        m.d.comb += [getattr(search, name).eq(f[name]) for name in ("rows", "prefix", "keep")]
        m.d.comb += [port.searching.eq(search.searching), port.word.eq(search.word)]

    def _connect_sweep(self, m: Module, f: dict[str, Value]) -> None:
        search, sweep, trace, dropped = self._search, self._sweep, self.trace, self.dropped
        wiring.connect(m, sweep.list, wiring.flipped(self.list))
        m.d.comb += [getattr(sweep, f"field_{name}").eq(f[name]) for name in select_fields()]
        m.d.comb += [
            sweep.threshold.eq(search.threshold),
            sweep.equal.eq(search.equal),
            sweep.start.eq(search.done),
            sweep.importance.eq(self.importance.importance),
            self.importance.position.eq(sweep.position),
            trace.valid.eq(sweep.judged),
            trace.pc.eq(self.pc),
            trace.position.eq(sweep.judged_position),
            trace.low.eq(sweep.judged_importance),
            trace.high.eq(sweep.judged_importance >> len(trace.low)),
            trace.kept.eq(sweep.kept),
            dropped.clear.eq(self.started),
            dropped.put.eq(sweep.dropped),
            dropped.fused.eq(sweep.fused),
            dropped.address.eq(sweep.address),
            dropped.weight.eq(sweep.dropped_weight),
        ]

    def _report(self, m: Module, f: dict[str, Value], running: Signal, refused: Signal) -> None:
        """Instructions that cannot be, and words that do not exist."""
        fuse, stay, illegal, beyond = f["fuse"], f["prefix"] + f["keep"], Signal(), Signal()
        fused_bad = (stay == f["rows"]) if self._arch.fuse_tokens else 1
        m.d.sync += [
            illegal.eq(
                (f["keep"] == 0) | (stay > f["rows"]) | (self.importance.keys != f["rows"]) | (fuse & fused_bad)
            ),
            beyond.eq(f["list_base"] + stay + fuse > self._arch.list_entries),
        ]
        m.d.comb += refused.eq(illegal | beyond)
        code = Mux(illegal, int(ErrorCode.ILLEGAL_INSTRUCTION), int(ErrorCode.OUT_OF_BOUNDS))
        m.d.sync += [
            self.fault.valid.eq((self.started & refused) | (running & self._sweep.outside)),
            self.fault.code.eq(code),
            self.fault.pc.eq(self.pc),
        ]
