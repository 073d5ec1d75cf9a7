"""Read engine: data, bursts, stalls, errors, halt, cycles."""

import random

import pytest
from amaranth.sim import Simulator

from hwgen.rtl.axi.read_engine import ReadEngine
from hwgen.spec.arch import ArchConfig
from tests.rtl.arches import small_arch
from tests.rtl.axi_bench import PulseLog, ReadSlave, StreamSink, StreamSource, ddr_beat, wait_until


def _bench(dut: ReadEngine, arch: ArchConfig, commands: list[tuple[int, int]], stall: float = 0.0, **slave_options):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    slave = ReadSlave(
        dut.bus, stall, seed=3, burst_limit=arch.burst_beats, outstanding=arch.outstanding, **slave_options
    )
    source = StreamSource(dut.command, [{"address": a, "beats": n} for a, n in commands], stall, seed=5)
    sink = StreamSink(dut.beats, stall, seed=7)
    for part in (slave, source, sink):
        sim.add_process(part.process)
    return sim, slave, source, sink


def _expected(commands: list[tuple[int, int]]) -> list[int]:
    return [ddr_beat(address + 16 * i) for address, beats in commands for i in range(beats)]


@pytest.mark.parametrize(
    ("burst_beats", "outstanding", "stall"), [(16, 4, 0.4), (1, 1, 0.0), (64, 2, 0.3), (5, 16, 0.2)]
)
def test_data_and_protocol(burst_beats: int, outstanding: int, stall: float) -> None:
    """Random transfers, page crossings, 64-bit addresses, zero beats: every beat arrives once, in order."""
    arch = small_arch(2, 8, 8, burst_beats=burst_beats, outstanding=outstanding)
    rng = random.Random(burst_beats)
    commands = [(0x1_0000_0FF0, 3), (0x2000, 0), (0xFFF0, 1), (0x3000, 256), (0xFFFF_FF80, 16), (0xFF_FFFF_FFF0, 2)]
    commands += [(16 * rng.randrange(1 << 40), rng.choice([0, 1, 2, 7, 16, 17, 33])) for _ in range(12)]
    dut = ReadEngine(arch)
    sim, slave, source, sink = _bench(dut, arch, commands, stall, latency=9)
    beats = PulseLog(dut.beat)
    sim.add_process(beats.process)
    want = _expected(commands)

    async def bench(ctx):
        await wait_until(ctx, lambda: source.sent == len(commands) and len(sink.items) == len(want))
        await ctx.tick().repeat(4)
        assert ctx.get(dut.busy) == 0

    sim.add_testbench(bench)
    sim.run()
    assert len(want) > 300
    assert sink.items == want
    assert len(beats.entries) == len(want)
    assert sum(burst.beats for burst in slave.bursts) == len(want)
    if outstanding <= 4 and burst_beats > 1:
        assert slave.most_in_flight == outstanding


def test_timing() -> None:
    """Latency of a command, interval of bursts, one beat a cycle."""
    arch = small_arch(2, 8, 8, burst_beats=8, outstanding=4)
    dut = ReadEngine(arch)
    sim, _, source, sink = _bench(dut, arch, [(0, 96)])
    requests = PulseLog(dut.bus.arvalid)
    sim.add_process(requests.process)

    async def bench(ctx):
        await wait_until(ctx, lambda: len(sink.items) == 96)

    sim.add_testbench(bench)
    sim.run()
    starts = [cycle for (cycle,) in requests.entries]
    assert starts[0] - source.sent_cycles[0] == dut.command_latency
    assert starts[1] - starts[0] == dut.burst_interval
    assert sink.cycles[-1] - sink.cycles[0] == 95


def test_error_response() -> None:
    """One pulse per bad beat; the data still comes."""
    arch = small_arch(2, 8, 8)
    dut = ReadEngine(arch)
    sim, _, _, sink = _bench(dut, arch, [(0, 40)], 0.2, bad=lambda address: address in (0x30, 0x200))
    errors = PulseLog(dut.error)
    sim.add_process(errors.process)

    async def bench(ctx):
        await wait_until(ctx, lambda: len(sink.items) == 40)
        await ctx.tick().repeat(3)

    sim.add_testbench(bench)
    sim.run()
    assert len(errors.entries) == 2


@pytest.mark.parametrize("halt_at", [8, 9, 10, 11])
def test_a_request_that_nobody_takes_stays(halt_at: int) -> None:
    """Halted in the middle of a request, the engine offers it until it is taken, and drops what comes of it."""
    arch = small_arch(2, 8, 8, burst_beats=8, outstanding=4)
    dut = ReadEngine(arch)
    sim, slave, source, sink = _bench(dut, arch, [(0x40, 16)], latency=5)
    slave.stalls.busy = 1.1

    async def bench(ctx):
        await ctx.tick().repeat(halt_at)
        assert ctx.get(dut.bus.arvalid) == 1
        ctx.set(dut.halt, 1)
        await ctx.tick().repeat(300)
        assert ctx.get(dut.bus.arvalid) == 1
        assert ctx.get(dut.busy) == 1
        slave.stalls.busy = 0.3
        await wait_until(ctx, lambda: not ctx.get(dut.busy), 200)
        assert slave.beats_served == 8
        ctx.set(dut.halt, 0)
        source.items.append({"address": 0x2000, "beats": 12})
        await wait_until(ctx, lambda: len(sink.items) == 12)

    sim.add_testbench(bench)
    sim.run()
    assert sink.items == _expected([(0x2000, 12)])
    assert [(burst.address, burst.beats) for burst in slave.bursts] == [(0x40, 8), (0x2000, 8), (0x2080, 4)]


@pytest.mark.parametrize("kind", ["early", "late", "none", "stray"])
def test_rlast_in_the_wrong_place(kind: str) -> None:
    """Beats count as they were asked for; RLAST elsewhere, or a beat that nobody asked for, is an error."""
    arch = small_arch(2, 8, 8, burst_beats=8, outstanding=4)
    dut = ReadEngine(arch)
    sim, slave, source, sink = _bench(dut, arch, [(0, 24)], latency=6)
    slave.last = {
        "early": lambda address, last: last or address == 0x20,
        "late": lambda address, last: last and address != 0x70,
        "none": lambda address, last: False,
        "stray": lambda address, last: last,
    }[kind]
    errors = PulseLog(dut.error)
    sim.add_process(errors.process)

    async def bench(ctx):
        await wait_until(ctx, lambda: len(sink.items) == 24)
        await ctx.tick().repeat(3)
        assert ctx.get(dut.busy) == 0
        if kind == "stray":
            slave.queue.append((0, 0x990, False))
            await ctx.tick().repeat(5)
            assert ctx.get(dut.busy) == 0
            source.items.append({"address": 0x100, "beats": 3})
            await wait_until(ctx, lambda: len(sink.items) == 28)

    sim.add_testbench(bench)
    sim.run()
    assert sink.items[:24] == _expected([(0, 24)])
    assert len(errors.entries) == {"early": 1, "late": 1, "none": 3, "stray": 1}[kind]
    if kind == "stray":
        assert sink.items[25:] == _expected([(0x100, 3)])


@pytest.mark.parametrize("halt_at", [3, 12, 13, 14, 15, 31, 60])
def test_halt(halt_at: int) -> None:
    """Bursts in flight complete although nobody reads; no new burst is requested; busy falls."""
    arch = small_arch(2, 8, 8, burst_beats=8, outstanding=4)
    dut = ReadEngine(arch)
    sim, slave, _, sink = _bench(dut, arch, [(0, 400)], 0.5, latency=20)

    async def bench(ctx):
        await ctx.tick().repeat(halt_at)
        sink.stalls.busy = 1.1
        ctx.set(dut.halt, 1)
        await wait_until(ctx, lambda: not ctx.get(dut.busy), 400)
        bursts = len(slave.bursts)
        assert bursts < 400 // 8
        assert slave.beats_served == sum(burst.beats for burst in slave.bursts)
        await ctx.tick().repeat(40)
        assert len(slave.bursts) == bursts
        assert ctx.get(dut.bus.arvalid) == 0

    sim.add_testbench(bench)
    sim.run()
