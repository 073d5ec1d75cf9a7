"""IO engine: tables, positions, patches and results, one instruction at a time."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.rtl.axi.bus import axi4_read, axi4_write, on_bus
from hwgen.rtl.axi.read_engine import ReadEngine
from hwgen.rtl.axi.write_engine import WriteEngine
from hwgen.rtl.io.patch_gather import PatchGather, lane_write_port
from hwgen.rtl.io.position_loader import PositionLoader
from hwgen.rtl.io.result_store import ResultStore
from hwgen.rtl.io.table_loader import TableLoader
from hwgen.rtl.lib.decode import fields, opcode_among, opcode_is, reached
from hwgen.rtl.lib.interfaces import (
    COUNTER_BITS,
    PC_BITS,
    PROGRESS_COUNTERS,
    buffer_write,
    fault,
    issued,
    progress_pulse,
    table_bus,
)
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import RESIDUAL
from hwgen.spec.isa import ErrorCode, Opcode, Unit
from hwgen.spec.ops import OPS

_OPCODES = tuple(opcode for opcode, form in OPS.items() if form.unit is Unit.IO)


class IoEngine(wiring.Component):
    """Runs LOAD_TABLE, LOAD_POSITION, LOAD_PATCHES and STORE in order.

    Members
    -------
    instructions: In(stream of issued). counters: In, progress counters.
    model, image, result: In(64), the pointers. result_bytes: In(32), the bound.
    read_bus: Out(axi4_read), write_bus: Out(axi4_write). read_beat, write_beat: Out(1), for the counters.
    table: Out(table_bus). residual: Out(write_port(16 * Po)). activation: Out(lane_write_port(Po)).
    progress: Out(progress_pulse), RESIDUAL and PATCH.
    results: In(stream of 16 * Po bits), from the post-processor; the result FIFO is in here.
    halt: In(1). busy: Out(1), an engine has something outstanding. idle: Out(1), no instruction.
    fault: Out(fault).
    started, finished: Out(1), pulses, and pc: Out(16), the instruction they belong to.

    Timing: ``overhead`` = 3 cycles per instruction besides those in which its unit or an engine is busy. One whose
    ``wait_b`` is not counter 0 starts in the cycle after ``counters`` have reached the base, and ``wait_cycles`` = 1
    later than without a wait when they had reached it before.
    """

    overhead = 3
    wait_cycles = 1

    def __init__(self, arch: ArchConfig) -> None:
        lanes = arch.output_lanes
        super().__init__(
            {
                "instructions": In(stream.Signature(issued())),
                "counters": In(data.ArrayLayout(COUNTER_BITS, PROGRESS_COUNTERS)),
                "model": In(64),
                "image": In(64),
                "result": In(64),
                "result_bytes": In(32),
                "read_bus": Out(axi4_read()),
                "write_bus": Out(axi4_write()),
                "read_beat": Out(1),
                "write_beat": Out(1),
                "table": Out(table_bus()),
                "residual": Out(buffer_write(RESIDUAL, arch)),
                "activation": Out(lane_write_port(lanes)),
                "progress": Out(progress_pulse()),
                "results": In(stream.Signature(16 * lanes)),
                "halt": In(1),
                "busy": Out(1),
                "idle": Out(1),
                "fault": Out(fault()),
                "started": Out(1),
                "finished": Out(1),
                "pc": Out(PC_BITS),
            }
        )
        self._arch = arch

    def elaborate(self, platform: object) -> Module:
        """Two AXI engines, four units, one of which runs at a time."""
        m = Module()
        reader, writer = ReadEngine(self._arch), WriteEngine(self._arch)
        m.submodules.reader, m.submodules.writer = on_bus(reader), on_bus(writer)
        connect(m, reader.bus, flipped(self.read_bus))
        connect(m, writer.bus, flipped(self.write_bus))
        m.submodules.tables = tables = TableLoader()
        m.submodules.positions = positions = PositionLoader(self._arch)
        m.submodules.patches = patches = PatchGather(self._arch)
        m.submodules.store = store = ResultStore(self._arch)
        loaders = {
            Opcode.LOAD_TABLE: tables,
            Opcode.LOAD_POSITION: positions,
            Opcode.LOAD_PATCHES: patches,
        }
        m.d.comb += [
            tables.model.eq(self.model),
            positions.model.eq(self.model),
            patches.image.eq(self.image),
            store.result.eq(self.result),
            store.result_bytes.eq(self.result_bytes),
            store.engine_busy.eq(writer.busy),
            self.read_beat.eq(reader.beat),
            self.write_beat.eq(writer.beat),
            self.busy.eq(reader.busy | writer.busy),
            reader.halt.eq(self.halt),
            writer.halt.eq(self.halt),
        ]
        connect(m, store.command, writer.command)
        connect(m, store.data, writer.data)
        connect(m, flipped(self.results), store.results)
        connect(m, tables.table, flipped(self.table))
        connect(m, positions.residual, flipped(self.residual))
        connect(m, patches.activation, flipped(self.activation))
        chosen = {opcode: Signal(name=f"is_{opcode.name.lower()}") for opcode in (*loaders, Opcode.STORE)}
        self._share(m, reader, loaders, chosen)
        self._report(m, reader, writer, store, loaders)
        self._run(m, {**loaders, Opcode.STORE: store}, chosen, ~self.busy)
        return m

    def _share(self, m: Module, reader: ReadEngine, loaders: dict[Opcode, Any], chosen: dict[Opcode, Signal]) -> None:
        """The read engine belongs to the loader that the instruction names; the others are idle and take no beats."""
        ready = Cat(loader.beats.ready for loader in loaders.values())
        m.d.comb += reader.beats.ready.eq(ready.any())
        for opcode, loader in loaders.items():
            m.d.comb += [loader.beats.payload.eq(reader.beats.payload), loader.beats.valid.eq(reader.beats.valid)]
            with m.If(chosen[opcode]):
                m.d.comb += [
                    reader.command.payload.eq(loader.command.payload),
                    reader.command.valid.eq(loader.command.valid),
                    loader.command.ready.eq(reader.command.ready),
                ]

    def _report(
        self, m: Module, reader: ReadEngine, writer: WriteEngine, store: ResultStore, loaders: dict[Opcode, Any]
    ) -> None:
        """Progress of the unit that runs, and faults."""
        positions, patches = loaders[Opcode.LOAD_POSITION].progress, loaders[Opcode.LOAD_PATCHES].progress
        m.d.comb += [
            self.progress.valid.eq(positions.valid | patches.valid),
            self.progress.counter.eq(Mux(patches.valid, patches.counter, positions.counter)),
            self.progress.count.eq(Mux(patches.valid, patches.count, positions.count)),
        ]
        overflow = Cat(loader.overflow for loader in loaders.values()).any()
        found = {  # the first one that is true counts
            ErrorCode.AXI_READ: reader.error,
            ErrorCode.AXI_WRITE: writer.error,
            ErrorCode.RESULT_BOUND: store.too_long,
            ErrorCode.OUT_OF_BOUNDS: overflow,
        }
        m.d.comb += [self.fault.valid.eq(Cat(found.values()).any()), self.fault.pc.eq(self.pc)]
        for code, true in reversed(found.items()):
            with m.If(true):
                m.d.comb += self.fault.code.eq(code)

    def _run(self, m: Module, units: dict[Opcode, Any], chosen: dict[Opcode, Signal], settled: Value) -> None:
        """Take an instruction, start its unit when its wait is over, wait for the unit and for the engines."""
        start = Signal()  # a register: what a unit does with it takes the rest of the cycle
        working, word = Signal(), Signal(256)
        for opcode, unit in units.items():
            m.d.comb += [unit.word.eq(word), unit.start.eq(start & chosen[opcode])]
        offered = self.instructions.payload
        wait = _wait_of(m, offered.word)  # of the instruction that is offered, then of the one that was taken
        counter, base = Signal.like(wait.counter), Signal.like(wait.base)
        m.d.comb += working.eq(Cat(unit.busy for unit in units.values()).any())
        with m.FSM(name="run") as fsm:
            m.d.comb += [self.idle.eq(fsm.ongoing("IDLE")), self.started.eq(start)]
            with m.State("IDLE"):
                m.d.comb += self.instructions.ready.eq(1)
                with m.If(self.instructions.valid):
                    m.d.sync += [is_it.eq(opcode_is(offered.word, opcode)) for opcode, is_it in chosen.items()]
                    m.d.sync += [word.eq(offered.word), self.pc.eq(offered.pc)]
                    m.d.sync += [counter.eq(wait.counter), base.eq(wait.base), start.eq(wait.counter == 0)]
                    m.next = "START"
            with m.State("START"):
                m.d.sync += start.eq(reached(self.counters, counter, base, 0) & ~start)
                with m.If(start):
                    m.next = "RUN"
            with m.State("RUN"):
                with m.If(~working & settled):
                    m.d.comb += self.finished.eq(1)
                    m.next = "IDLE"


def _wait_of(m: Module, word: Value) -> data.View:
    """``wait_b`` of an instruction of IO; it lies elsewhere in every opcode."""
    wait = Signal(data.StructLayout({"counter": 4, "base": COUNTER_BITS}))
    for opcode in _OPCODES:
        f = fields(opcode, word)
        with m.If(opcode_among(word, opcode, Unit.IO)):
            m.d.comb += [wait.counter.eq(f["wait_b"]), wait.base.eq(f["wait_b_base"])]
    return wait
