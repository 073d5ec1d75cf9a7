"""Sequencer: whole programs, every way to fail, and that the next start works."""

import random

import pytest
from amaranth.sim import Simulator

from hwgen.rtl.control.dispatcher import UNITS
from hwgen.rtl.control.program_fetch import CHUNK
from hwgen.rtl.control.sequencer import Sequencer
from hwgen.spec.choices import GIVE_UP_CYCLES
from hwgen.spec.encoding import encode
from hwgen.spec.isa import ErrorCode, Opcode
from hwgen.spec.ops import OPS
from tests.rtl.arches import small_arch
from tests.rtl.axi_bench import PulseLog, ReadSlave, wait_until
from tests.rtl.clock import add_clock
from tests.rtl.programs import program_beat, random_instruction

PROGRAM = 0x8000


class Unit:
    """Takes instructions of one stream, works ``cycles`` on each, and is idle otherwise."""

    def __init__(self, port, idles, index: int, cycles: int = 7) -> None:
        self.port, self.idles, self.index, self.cycles = port, idles, index, cycles
        self.left = 0  # cycles of the instruction under way
        self.taken: list[tuple[int, int]] = []
        self.random = random.Random(index)

    async def process(self, ctx) -> None:
        """Simulator process."""
        ctx.set(self.idles[self.index], 1)
        payload = self.port.payload
        async for _, _, valid, ready, word, pc in ctx.tick().sample(
            self.port.valid, self.port.ready, payload.word, payload.pc
        ):
            if valid and ready:
                self.taken.append((word, pc))
                self.left = self.cycles
            elif self.left:
                self.left -= 1
            ctx.set(self.idles[self.index], self.left == 0)
            ctx.set(self.port.ready, self.left == 0 and self.random.random() < 0.5)


class Machine:
    """A sequencer with stub units and a program in memory."""

    def __init__(self, words: list[int], stall: float = 0.2, **slave_options) -> None:
        arch = small_arch(2, 8, 8)
        self.dut = dut = Sequencer(arch, faults=2, idles=4, engines=2)
        self.sim = Simulator(dut)
        add_clock(self.sim)
        self.words = words
        self.damaged: int | None = None  # an instruction with a wrong bit in memory
        self.slave = ReadSlave(dut.bus, stall, 4, latency=20, read=self._beat, **slave_options)
        self.units = [Unit(getattr(dut, u.name.lower()), dut.idles, i, 5 + 6 * i) for i, u in enumerate(UNITS)]
        self.done = PulseLog(dut.done)
        self.accepted = PulseLog(dut.accepted)
        self.resets = PulseLog(dut.core_reset)
        for part in (self.slave, *self.units, self.done, self.accepted, self.resets):
            self.sim.add_process(part.process)

    def _beat(self, address: int) -> int:
        index = (address - PROGRAM) // 32
        assert 0 <= index < -(-len(self.words) // CHUNK) * CHUNK, f"read past the padded program at {address:#x}"
        beat = program_beat(self.words, address - PROGRAM)
        return beat ^ (index == self.damaged) << 77

    async def start(self, ctx, program: int = PROGRAM) -> None:
        """Raise start until accepted."""
        ctx.set(self.dut.program, program)
        ctx.set(self.dut.start, 1)
        await wait_until(ctx, lambda: ctx.get(self.dut.accepted))
        await ctx.tick()
        ctx.set(self.dut.start, 0)

    async def finish(self, ctx, limit: int = 4000) -> None:
        """Until the done pulse."""
        runs = len(self.done.entries)
        await wait_until(ctx, lambda: len(self.done.entries) > runs, limit)
        await ctx.tick().repeat(3)
        assert ctx.get(self.dut.idle) == 1

    def run(self, bench) -> None:
        """Simulate ``bench``."""
        self.sim.add_testbench(bench)
        self.sim.run()

    def taken(self) -> list[list[tuple[int, int]]]:
        """What each unit took."""
        return [unit.taken for unit in self.units]

    def expected(self) -> list[list[tuple[int, int]]]:
        """What each unit should take."""
        result: list[list[tuple[int, int]]] = [[] for _ in UNITS]
        for pc, word in enumerate(self.words):
            if word & 255 == Opcode.END:
                break
            result[UNITS.index(OPS[Opcode(word & 255)].unit)].append((word, pc))
        return result


def _program(count: int, seed: int = 1) -> list[int]:
    rng = random.Random(seed)
    body = [random_instruction(rng) for _ in range(count)]
    return [*body, encode(Opcode.END), int(Opcode.LINEAR), 0]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 15, 45])
def test_program(count: int) -> None:
    """Every unit gets its instructions in order with their index; done comes after the last unit is idle; twice."""
    machine = Machine(_program(count))

    async def bench(ctx):
        dut = machine.dut
        for _ in range(2):
            for unit in machine.units:
                unit.taken.clear()
            await machine.start(ctx)
            await machine.finish(ctx)
            assert machine.taken() == machine.expected()
            assert sum(map(len, machine.taken())) == count
            assert ctx.get(dut.error_code) == ErrorCode.NONE

    machine.run(bench)
    assert len(machine.done.entries) == 2
    assert len(machine.resets.entries) == 2


@pytest.mark.parametrize("at", [0, 5, 8])
@pytest.mark.parametrize("opcode", [0, max(Opcode) + 1, 255])
def test_illegal_opcode(at: int, opcode: int) -> None:
    """Code and index are reported; instructions before it were dispatched; the next program runs."""
    good = _program(12)
    machine = Machine([*good[:at], opcode, *good[at:]])

    async def bench(ctx):
        await machine.start(ctx)
        await machine.finish(ctx)
        assert ctx.get(machine.dut.error_code) == ErrorCode.ILLEGAL_INSTRUCTION
        assert ctx.get(machine.dut.error_pc) == at
        for unit in machine.units:
            assert all(pc < at for _, pc in unit.taken)
            unit.taken.clear()
        machine.words = good
        await machine.start(ctx)
        await machine.finish(ctx)
        assert ctx.get(machine.dut.error_code) == ErrorCode.NONE
        assert machine.taken() == machine.expected()

    machine.run(bench)


def test_fault_halts_engines_before_the_reset() -> None:
    """The first fault counts; halt holds until no engine is busy; only then the core is reset."""
    machine = Machine(_program(40))

    async def bench(ctx):
        dut = machine.dut
        await machine.start(ctx)
        await ctx.tick().repeat(90)
        resets = len(machine.resets.entries)
        ctx.set(dut.busy, 2)
        for port, code, pc in ((0, ErrorCode.AXI_WRITE, 17), (1, ErrorCode.OUT_OF_BOUNDS, 23)):
            ctx.set(dut.faults[port].code, code)
            ctx.set(dut.faults[port].pc, pc)
            ctx.set(dut.faults[port].valid, 1)
        await ctx.tick()
        ctx.set(dut.faults[0].valid, 0)
        await ctx.tick().repeat(60)
        assert ctx.get(dut.halt) == 1
        assert ctx.get(dut.running) == 1
        assert len(machine.resets.entries) == resets
        ctx.set(dut.busy, 0)
        ctx.set(dut.faults[1].valid, 0)
        await machine.finish(ctx)
        assert len(machine.resets.entries) == resets + 1
        assert ctx.get(dut.halt) == 0
        assert ctx.get(dut.error_code) == ErrorCode.AXI_WRITE
        assert ctx.get(dut.error_pc) == 17
        for unit in machine.units:
            unit.taken.clear()
        await machine.start(ctx)
        assert ctx.get(dut.error_code) == ErrorCode.NONE
        await machine.finish(ctx)
        assert ctx.get(dut.error_code) == ErrorCode.NONE
        assert machine.taken() == machine.expected()

    machine.run(bench)


def test_fault_in_the_cycle_in_which_an_engine_begins() -> None:
    """An engine that gets busy until halt reaches it is waited for, so that the next start is not refused."""
    waited = []

    def try_one(offset: int) -> None:
        machine = Machine(_program(6), stall=0.0)
        stuck = machine.units[2]
        stuck.cycles = 1 << 30

        async def bench(ctx):
            dut = machine.dut
            await machine.start(ctx)
            await wait_until(ctx, lambda: stuck.left)
            await ctx.tick().repeat(90)
            stuck.cycles, stuck.left = 7, 200
            ctx.set(dut.faults[0].code, ErrorCode.OUT_OF_BOUNDS)
            ctx.set(dut.faults[0].valid, 1)
            await ctx.tick()
            ctx.set(dut.faults[0].valid, 0)
            for _ in range(offset):
                await ctx.tick()
            if ctx.get(dut.halt):
                return
            ctx.set(dut.busy, 1)
            await ctx.tick().repeat(40)
            assert ctx.get(dut.running) == 1
            ctx.set(dut.busy, 0)
            await machine.finish(ctx)
            await machine.start(ctx)
            await machine.finish(ctx)
            assert ctx.get(dut.error_code) == ErrorCode.NONE
            waited.append(offset)

        machine.run(bench)

    for offset in range(6):
        try_one(offset)
    assert waited == list(range(len(waited)))
    assert 1 < len(waited) < 6


def test_bad_program_address() -> None:
    """An error response to the program fetch stops the machine; the next start works."""
    machine = Machine(_program(20), bad=lambda address: address == PROGRAM + 256)

    async def bench(ctx):
        await machine.start(ctx)
        await machine.finish(ctx)
        assert ctx.get(machine.dut.error_code) == ErrorCode.AXI_READ
        assert ctx.get(machine.dut.error_pc) <= 8
        machine.slave.bad = lambda address: False
        for unit in machine.units:
            unit.taken.clear()
        await machine.start(ctx)
        await machine.finish(ctx)
        assert machine.taken() == machine.expected()

    machine.run(bench)


def test_watchdog() -> None:
    """A unit that never gets idle is stopped after the given cycles, not earlier; zero means never."""
    machine = Machine(_program(6))

    async def bench(ctx):
        dut = machine.dut
        machine.units[2].cycles = 1 << 30
        ctx.set(dut.watchdog, 500)
        await machine.start(ctx)
        started = machine.accepted.entries[-1][0]
        await machine.finish(ctx)
        assert ctx.get(dut.error_code) == ErrorCode.WATCHDOG
        assert 500 <= machine.done.entries[-1][0] - started <= 600
        ctx.set(dut.watchdog, 0)
        await machine.start(ctx)
        await ctx.tick().repeat(1500)
        assert ctx.get(dut.running) == 1

    machine.run(bench)


@pytest.mark.parametrize("limit", [(1 << 24) + 9, 50_000_000, (1 << 32) - 1])
def test_watchdog_counts_in_32_bits(limit: int) -> None:
    """A long watchdog ends a run after all of its cycles; the counter is set ahead instead of waited for."""
    machine = Machine(_program(6))

    async def bench(ctx):
        dut = machine.dut
        machine.units[2].cycles = 1 << 30
        ctx.set(dut.watchdog, limit)
        await machine.start(ctx)
        for ahead in (limit & 0xFFFF, limit & 0xFF_FFFF, limit >> 1, limit - 60):
            ctx.set(dut.elapsed, ahead)
            await ctx.tick().repeat(50)
            assert ctx.get(dut.running) == 1, f"ended after {ahead + 50} of {limit} cycles"
            assert ctx.get(dut.halt) == 0
        await machine.finish(ctx, 60)
        assert ctx.get(dut.error_code) == ErrorCode.WATCHDOG

    machine.run(bench)


@pytest.mark.parametrize("at", [1025, 1290])
@pytest.mark.parametrize("kind", ["illegal", "damaged", "fault"])
def test_index_of_an_error_far_into_a_program(at: int, kind: str) -> None:
    """ERROR_PC has all its bits, whoever reports it."""
    words = [encode(Opcode.LOAD_TABLE)] * (at + 40)
    machine = Machine([*words, encode(Opcode.END)], 0.0, outstanding=16)
    for unit in machine.units:
        unit.cycles = 0
        unit.random = random.Random()
        unit.random.random = lambda: 0.0
    if kind == "illegal":
        machine.words[at] = 0xEE
    machine.damaged = at if kind == "damaged" else None

    async def bench(ctx):
        dut = machine.dut
        await machine.start(ctx)
        if kind == "fault":
            await wait_until(ctx, lambda: machine.units[1].taken and machine.units[1].taken[-1][1] == at)
            ctx.set(dut.faults[0].code, ErrorCode.OUT_OF_BOUNDS)
            ctx.set(dut.faults[0].pc, machine.units[1].taken[-1][1])
            ctx.set(dut.faults[0].valid, 1)
            await ctx.tick()
            ctx.set(dut.faults[0].valid, 0)
        await machine.finish(ctx, 9000)
        code = {
            "illegal": ErrorCode.ILLEGAL_INSTRUCTION,
            "damaged": ErrorCode.CHECKSUM,
            "fault": ErrorCode.OUT_OF_BOUNDS,
        }[kind]
        assert (ctx.get(dut.error_code), ctx.get(dut.error_pc)) == (code, at)

    machine.run(bench)


def test_misaligned() -> None:
    """Nothing is read; UNALIGNED two cycles after the start; the next one runs."""
    machine = Machine(_program(6))

    async def bench(ctx):
        dut = machine.dut
        ctx.set(dut.misaligned, 1)
        await machine.start(ctx)
        await machine.finish(ctx)
        assert (ctx.get(dut.error_code), ctx.get(dut.error_pc)) == (ErrorCode.UNALIGNED, 0)
        assert machine.done.entries[-1][0] - machine.accepted.entries[-1][0] == 2
        assert not machine.slave.bursts
        ctx.set(dut.misaligned, 0)
        await machine.start(ctx)
        await machine.finish(ctx)
        assert ctx.get(dut.error_code) == ErrorCode.NONE
        assert machine.taken() == machine.expected()

    machine.run(bench)


@pytest.mark.parametrize("silent", ["outside", "program"])
def test_a_bus_that_owes_answers(silent: str) -> None:
    """The machine gives up when it said; starts are refused as long as anything is owed, and work from then on.

    ``running`` and the core reset stay low for a refused start, halt stays high, idle too.
    """
    machine = Machine(_program(6), stall=0.0)
    watchdog, checked = 300, []

    async def bench(ctx):
        dut = machine.dut
        ctx.set(dut.watchdog, watchdog)
        if silent == "outside":
            machine.units[2].cycles = 1 << 30
            ctx.set(dut.busy, 2)
        else:
            machine.slave.latency = 1 << 30
        await machine.start(ctx)
        await wait_until(ctx, lambda: ctx.get(dut.halt))
        await ctx.tick().repeat(30)
        skipped = GIVE_UP_CYCLES - 40 - ctx.get(dut.halted)
        ctx.set(dut.halted, GIVE_UP_CYCLES - 40)
        await machine.finish(ctx, 50)
        assert ctx.get(dut.error_code) == ErrorCode.WATCHDOG
        started, ended = machine.accepted.entries[-1][0], machine.done.entries[-1][0]
        assert ended - started == watchdog + Sequencer.report_latency - skipped
        machine.units[2].cycles, machine.units[2].left = 7, 0
        for _ in range(3):
            resets = len(machine.resets.entries)
            await ctx.tick().repeat(5)
            await machine.start(ctx)
            assert ctx.get(dut.idle) == 1
            await ctx.tick().repeat(2)
            assert machine.done.entries[-1][0] - machine.accepted.entries[-1][0] == 1
            assert (ctx.get(dut.error_code), ctx.get(dut.error_pc)) == (ErrorCode.BUS, 0)
            assert (ctx.get(dut.idle), ctx.get(dut.halt)) == (1, 1)
            assert len(machine.resets.entries) == resets
            checked.append(1)
        ctx.set(dut.busy, 0)
        machine.slave.latency = 3
        machine.slave.queue = type(machine.slave.queue)((0, a, last) for _, a, last in machine.slave.queue)
        await wait_until(ctx, lambda: not ctx.get(dut.halt), 100)
        ctx.set(dut.watchdog, 0)
        for unit in machine.units:
            unit.taken.clear()
        await machine.start(ctx)
        await machine.finish(ctx)
        assert ctx.get(dut.error_code) == ErrorCode.NONE
        assert machine.taken() == machine.expected()

    machine.run(bench)
    assert len(checked) == 3


def test_timing() -> None:
    """Cycles at the start and at the end."""
    machine = Machine(_program(3), stall=0.0)
    requests = PulseLog(machine.dut.bus.arvalid)
    busy = PulseLog(~machine.dut.idles.all())
    machine.sim.add_process(requests.process)
    machine.sim.add_process(busy.process)

    async def bench(ctx):
        await machine.start(ctx)
        await machine.finish(ctx)

    machine.run(bench)
    assert requests.entries[0][0] - machine.accepted.entries[0][0] == Sequencer.start_latency
    assert machine.done.entries[0][0] - (busy.entries[-1][0] + 1) == Sequencer.end_latency
