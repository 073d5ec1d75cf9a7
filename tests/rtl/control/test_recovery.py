"""Sequencer, loader, IO engine and multiplexer together: after every kind of error the next start works."""

import random

import pytest
from amaranth.hdl import Module, ResetInserter
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from hwgen.rtl.axi.read_mux import ReadMux
from hwgen.rtl.control.sequencer import Sequencer
from hwgen.rtl.io.io_engine import IoEngine
from hwgen.rtl.load.weight_loader import RING_NAMES, WeightLoader
from hwgen.rtl.memory.ring import Ring
from hwgen.spec.encoding import encode, to_bytes
from hwgen.spec.isa import ErrorCode, Opcode
from tests.rtl.arches import small_arch
from tests.rtl.axi_bench import PulseLog, ReadSlave, StreamSource, WriteSlave, ddr_beat, wait_until
from tests.rtl.clock import add_clock

PROGRAM, MODEL, RESULT = 0x100_0000, 0x200_0000, 0x300_0000
LOAD_BYTES = 16 * (2 + 2 * 2 + 12 * 8)  # one slice of the load below


def _program(results: int) -> list[int]:
    load = encode(
        Opcode.LOAD_WEIGHTS, offset=0, port_stride=LOAD_BYTES, norm_entries=1, param_entries=2, weight_words=12
    )
    return [
        encode(Opcode.LOAD_TABLE, offset=0x8000, table=3, words=16),
        load,
        encode(Opcode.LOAD_POSITION, offset=0x9000, rows=4, row_words=2),
        encode(Opcode.STORE, beats=2 * results),
        load,
        encode(Opcode.END),
    ]


class Machine:
    """The frame of the accelerator without compute units: consumers just free what arrives."""

    def __init__(self, seed: int) -> None:
        self.arch = arch = small_arch(2, 8, 16, weight_ports=2, ring_bytes=128 * 16, burst_beats=4, result_beats=16)
        self.m = m = Module()
        m.submodules.sequencer = self.sequencer = sequencer = Sequencer(arch, faults=2, idles=2, engines=2)
        self.io, self.loader, self.mux = IoEngine(arch), WeightLoader(arch), ReadMux(arch, 2)
        core = Module()
        core.submodules.io, core.submodules.loader = self.io, self.loader
        m.submodules.mux = self.mux
        entry = arch.param_beats * 128
        self.rings = [Ring(64, entry, 2), Ring(64, entry, 2), Ring(arch.ring_words, arch.tile_beats * 128, 2)]
        for name, ring in zip(RING_NAMES, self.rings, strict=True):
            core.submodules[name] = ring
            connect(core, getattr(self.loader, name), ring.fill)
            core.d.comb += ring.release.eq(ring.level != 0)
        m.submodules.core = ResetInserter(sequencer.core_reset)(core)
        self._wire()
        self.sim = Simulator(m)
        add_clock(self.sim)
        self.bad: set[int] = set()
        self.words = _program(6)
        self.port = ReadSlave(self.mux.bus, 0.2, seed, 14, read=self._read, bad=lambda a: a in self.bad)
        self.ports = [
            ReadSlave(bus, 0.2, seed + 1 + i, 20, bad=self.bad.__contains__) for i, bus in enumerate(self.loader.buses)
        ]
        self.write = WriteSlave(self.io.write_bus, 0.2, seed + 9, bad=lambda a: a in self.bad, response_latency=9)
        self.results = StreamSource(self.io.results, [])
        self.done = PulseLog(sequencer.done)
        self.tables = PulseLog(self.io.table.enable, self.io.table.data)
        self.residual = PulseLog(self.io.residual.enable, self.io.residual.data)
        self.loads = PulseLog(self.loader.finished, self.loader.finished_pc)
        parts = (self.port, *self.ports, self.write, self.results, self.done, self.tables, self.residual, self.loads)
        for part in parts:
            self.sim.add_process(part.process)

    def _wire(self) -> None:
        m, sequencer, io, loader = self.m, self.sequencer, self.io, self.loader
        connect(m, sequencer.bus, self.mux.clients[0])
        connect(m, io.read_bus, self.mux.clients[1])
        connect(m, sequencer.io, io.instructions)
        connect(m, sequencer.load, loader.instructions)
        connect(m, io.fault, sequencer.faults[0])
        connect(m, loader.fault, sequencer.faults[1])
        m.d.comb += [
            sequencer.idles.eq(io.idle | loader.idle << 1),
            sequencer.busy.eq(io.busy | loader.busy << 1),
            io.halt.eq(sequencer.halt),
            loader.halt.eq(sequencer.halt),
            sequencer.program.eq(PROGRAM),
            io.model.eq(MODEL),
            io.result.eq(RESULT),
            loader.model.eq(MODEL),
        ]

    def _read(self, address: int) -> int:
        if address < MODEL:
            data = to_bytes(self.words).ljust(256, b"\0")
            return int.from_bytes(data[address - PROGRAM :][:16], "little")
        return ddr_beat(address)

    async def run(self, ctx) -> tuple[int, int]:
        """One start; error code and index."""
        for log in (self.tables, self.residual, self.loads):
            log.entries.clear()
        self.write.data.clear()
        rng = random.Random(1)
        self.results.items.clear()
        runs = len(self.done.entries)
        ctx.set(self.sequencer.start, 1)
        await wait_until(ctx, lambda: ctx.get(self.sequencer.accepted))
        await ctx.tick()
        ctx.set(self.sequencer.start, 0)
        await ctx.tick().repeat(12)
        self.results.items.extend(rng.getrandbits(256) for _ in range(6))
        await wait_until(ctx, lambda: len(self.done.entries) > runs, 4000)
        await ctx.tick().repeat(3)
        return ctx.get(self.sequencer.error_code), ctx.get(self.sequencer.error_pc)

    def check(self) -> None:
        """Everything that a good run leaves."""
        rng = random.Random(1)
        words = [rng.getrandbits(256) for _ in range(6)]
        got = [self.write.data[RESULT + 16 * i][0] for i in range(12)]
        assert got == [word >> 128 * half & (1 << 128) - 1 for word in words for half in range(2)]
        assert len(self.tables.entries) == 16
        assert [entry[1] & (1 << 128) - 1 for entry in self.residual.entries] == [
            ddr_beat(MODEL + 0x9000 + 32 * i) for i in range(8)
        ]
        assert [pc for _, pc in self.loads.entries] == [1, 4]


FAILURES = {
    "program": (PROGRAM + 0x40, ErrorCode.AXI_READ, None),
    "table": (MODEL + 0x8010, ErrorCode.AXI_READ, 0),
    "weights": (MODEL + 0x50, ErrorCode.AXI_READ, 1),
    "other port": (MODEL + LOAD_BYTES + 0x300, ErrorCode.AXI_READ, 1),
    "position": (MODEL + 0x9000, ErrorCode.AXI_READ, 2),
    "result": (RESULT + 0x40, ErrorCode.AXI_WRITE, 3),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("seed", [1, 2])
def test_next_start_works(name: str, seed: int) -> None:
    """An error response anywhere is reported with code and instruction; the run after it is complete and right."""
    machine = Machine(seed)
    address, code, pc = FAILURES[name]
    checked = []

    async def bench(ctx):
        machine.bad.add(address)
        got = await machine.run(ctx)
        assert got[0] == code
        assert pc is None or got[1] == pc
        machine.bad.clear()
        for _ in range(2):
            assert await machine.run(ctx) == (ErrorCode.NONE, 0)
            machine.check()
            checked.append(name)

    machine.sim.add_testbench(bench)
    machine.sim.run()
    assert len(checked) == 2


@pytest.mark.parametrize("limit", [1, 20, 47, 90, 140, 200])
def test_watchdog_at_any_time(limit: int) -> None:
    """Stopped in the middle of anything, the machine runs again."""
    machine = Machine(5)

    async def bench(ctx):
        ctx.set(machine.sequencer.watchdog, limit)
        code, _ = await machine.run(ctx)
        assert code == ErrorCode.WATCHDOG
        ctx.set(machine.sequencer.watchdog, 0)
        assert await machine.run(ctx) == (ErrorCode.NONE, 0)
        machine.check()

    machine.sim.add_testbench(bench)
    machine.sim.run()
    assert len(machine.done.entries) == 2
