"""Write engine: data, bursts, stalls, errors, halt, cycles."""

import random
from itertools import pairwise

import pytest
from amaranth.sim import Simulator

from hwgen.rtl.axi.write_engine import WriteEngine
from tests.rtl.arches import small_arch
from tests.rtl.axi_bench import PulseLog, StreamSource, WriteSlave, ddr_beat, wait_until


def _bench(dut, arch, commands, stall=0.0, data_stall=None, **options):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    slave = WriteSlave(dut.bus, stall, seed=3, burst_limit=arch.burst_beats, **options)
    words = [ddr_beat(address + 16 * i) for address, beats in commands for i in range(beats)]
    source = StreamSource(dut.command, [{"address": a, "beats": n} for a, n in commands], stall, seed=5)
    data = StreamSource(dut.data, words, stall if data_stall is None else data_stall, seed=7)
    for part in (slave, source, data):
        sim.add_process(part.process)
    return sim, slave, source, data


@pytest.mark.parametrize(
    ("burst_beats", "outstanding", "stall"), [(16, 4, 0.4), (1, 1, 0.0), (64, 2, 0.3), (5, 16, 0.2)]
)
def test_data_and_protocol(burst_beats: int, outstanding: int, stall: float) -> None:
    """Random transfers, page crossings, zero beats: every beat is stored once where it belongs."""
    arch = small_arch(2, 8, 8, burst_beats=burst_beats, outstanding=outstanding)
    rng = random.Random(burst_beats)
    commands = [(0x1_0000_0FF0, 3), (0x2000, 0), (0xFFF0, 1), (0x3000, 256), (0xFFFF_FF80, 16), (0xFF_FFFF_FFF0, 2)]
    commands += [(0x10_0000 + 0x1000 * i + 16 * rng.randrange(256), rng.choice([0, 1, 7, 16, 33])) for i in range(9)]
    dut = WriteEngine(arch)
    sim, slave, source, _ = _bench(dut, arch, commands, stall, response_latency=15)
    beats = PulseLog(dut.beat)
    sim.add_process(beats.process)
    want = {address + 16 * i: ddr_beat(address + 16 * i) for address, count in commands for i in range(count)}
    total = sum(count for _, count in commands)

    async def bench(ctx):
        await wait_until(ctx, lambda: source.sent == len(commands))
        await ctx.tick()
        await wait_until(ctx, lambda: not ctx.get(dut.busy))
        assert slave.responses == len(slave.bursts)
        await ctx.tick().repeat(2)

    sim.add_testbench(bench)
    sim.run()
    assert total > 300
    assert len(slave.beats) == len(beats.entries) == total
    assert set(slave.data) == set(want)
    for address, value in want.items():
        got, strobes = slave.data[address]
        assert strobes == 0xFFFF
        assert got == value, f"{address:#x}"


def test_timing() -> None:
    """Latency of a command and cycles of a transfer."""
    arch = small_arch(2, 8, 8, burst_beats=8, outstanding=4)
    dut = WriteEngine(arch)
    sim, slave, source, _ = _bench(dut, arch, [(0, 64)])
    requests = PulseLog(dut.bus.awvalid)
    beats = PulseLog(dut.bus.wvalid)
    sim.add_process(requests.process)
    sim.add_process(beats.process)

    async def bench(ctx):
        await wait_until(ctx, lambda: slave.responses == 8)

    sim.add_testbench(bench)
    sim.run()
    starts = [cycle for (cycle,) in requests.entries]
    assert starts[0] - source.sent_cycles[0] == dut.command_latency
    assert beats.entries[0][0] - starts[0] == 1
    assert [b - a for a, b in pairwise(starts)] == [8 + dut.burst_overhead] * 7


def test_error_response() -> None:
    """One pulse per bad response; busy still falls."""
    arch = small_arch(2, 8, 8, burst_beats=8)
    dut = WriteEngine(arch)
    sim, slave, _, _ = _bench(dut, arch, [(0, 40)], 0.2, bad=lambda address: address in (0x80, 0x200))
    errors = PulseLog(dut.error)
    sim.add_process(errors.process)

    async def bench(ctx):
        await wait_until(ctx, lambda: slave.responses == 5)
        await ctx.tick().repeat(3)
        assert ctx.get(dut.busy) == 0

    sim.add_testbench(bench)
    sim.run()
    assert len(errors.entries) == 2


@pytest.mark.parametrize("halt_at", [8, 9, 10, 11])
@pytest.mark.parametrize("channel", ["address", "data", "both"])
def test_offers_that_nobody_takes_stay(halt_at: int, channel: str) -> None:
    """Halted in the middle of a burst, address and beats are offered until they are taken, with zero strobes."""
    arch = small_arch(2, 8, 8, burst_beats=8, outstanding=2)
    dut = WriteEngine(arch)
    sim, slave, source, data = _bench(dut, arch, [(0x40, 16)], 0.0, response_latency=5)
    following: list[int] = []
    slave.deaf = {"address": {"aw"}, "data": {"w"}, "both": {"aw", "w"}}[channel]

    async def bench(ctx):
        await ctx.tick().repeat(halt_at)
        ctx.set(dut.halt, 1)
        await ctx.tick().repeat(300)
        assert ctx.get(dut.bus.awvalid) == (channel != "data")
        assert ctx.get(dut.bus.wvalid) == (channel != "address" or len(slave.beats) < 8)
        assert ctx.get(dut.busy) == 1
        slave.deaf = set()
        await wait_until(ctx, lambda: not ctx.get(dut.busy), 200)
        assert (len(slave.beats), slave.responses) == (8, 1)
        data.items.extend(range(12))
        following.extend(list(data.items)[:12])
        ctx.set(dut.halt, 0)
        source.items.append({"address": 0x2000, "beats": 12})
        await wait_until(ctx, lambda: slave.responses == 3)

    sim.add_testbench(bench)
    sim.run()
    assert [slave.data[0x2000 + 16 * i] for i in range(12)] == [(word, 0xFFFF) for word in following]


def test_a_response_that_nobody_waits_for() -> None:
    """It is an error, and no burst is taken for answered by it."""
    arch = small_arch(2, 8, 8, burst_beats=8)
    dut = WriteEngine(arch)
    sim, slave, source, _ = _bench(dut, arch, [(0, 8)], response_latency=30)
    errors = PulseLog(dut.error)
    sim.add_process(errors.process)

    async def bench(ctx):
        await wait_until(ctx, lambda: slave.responses == 1)
        slave.answers.append((0, False))
        await wait_until(ctx, lambda: slave.responses == 2)
        await ctx.tick().repeat(3)
        assert ctx.get(dut.busy) == 0
        source.items.append({"address": 0x100, "beats": 1})
        await ctx.tick().repeat(10)
        assert ctx.get(dut.busy) == 1

    sim.add_testbench(bench)
    sim.run()
    assert len(errors.entries) == 1


@pytest.mark.parametrize("halt_at", [3, 8, 12, 13, 14, 15, 16, 17, 31, 60])
def test_halt(halt_at: int) -> None:
    """The data ends in the middle of a burst: the burst completes with zero strobes and nothing more is issued."""
    arch = small_arch(2, 8, 8, burst_beats=8, outstanding=2)
    dut = WriteEngine(arch)
    sim, slave, _, data = _bench(dut, arch, [(0, 400)], 0.4, response_latency=10)

    async def bench(ctx):
        await ctx.tick().repeat(halt_at)
        data.stalls.busy = 1.1
        await ctx.tick().repeat(5)
        ctx.set(dut.halt, 1)
        await wait_until(ctx, lambda: not ctx.get(dut.busy), 400)
        bursts = len(slave.bursts)
        assert bursts < 400 // 8
        assert slave.responses == bursts
        assert len(slave.beats) == sum(burst.beats for burst in slave.bursts)
        written = [value for value, strobes, _ in slave.beats if strobes]
        assert len(written) == data.sent
        assert all(strobes == 0 for _, strobes, _ in slave.beats[data.sent :])
        await ctx.tick().repeat(40)
        assert len(slave.bursts) == bursts

    sim.add_testbench(bench)
    sim.run()
