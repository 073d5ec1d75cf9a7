"""Weight loader with its rings: contents, order, small rings, empty parts, rate, errors, halt."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from hwgen.rtl.load.weight_loader import RING_NAMES, WeightLoader
from hwgen.rtl.memory.ring import Ring
from hwgen.spec.choices import READ_LATENCY
from hwgen.spec.encoding import encode
from hwgen.spec.isa import Counter, ErrorCode, Opcode
from tests.rtl.arches import small_arch
from tests.rtl.axi_bench import PulseLog, ReadSlave, StreamSource, ddr_beat, wait_until
from tests.rtl.clock import add_clock

MODEL = 0x7_0000_0000


class Loader:
    """A loader, its three rings and one memory per port."""

    def __init__(self, loads: list[tuple[int, int, int]], stall: float = 0.0, latency: int = 15, **changes) -> None:
        waits = changes.pop("waits", {})  # index of a load -> counter and base that it waits for
        self.arch = arch = small_arch(2, 8, changes.pop("output_lanes", 16), **changes)
        m = Module()
        m.submodules.dut = self.dut = WeightLoader(arch)
        entry, tile = arch.param_beats * 128, arch.tile_beats * 128
        sizes = ((arch.norm_entries, entry), (arch.param_entries, entry), (arch.ring_words, tile))
        self.rings = [Ring(depth, width, arch.weight_ports) for depth, width in sizes]
        for name, ring in zip(RING_NAMES, self.rings, strict=True):
            m.submodules[name] = ring
            connect(m, getattr(self.dut, name), ring.fill)
        self.sim = Simulator(m)
        add_clock(self.sim)
        self.loads = loads
        self.slaves = [
            ReadSlave(bus, stall, 30 + port, latency, burst_limit=arch.burst_beats, outstanding=arch.outstanding)
            for port, bus in enumerate(self.dut.buses)
        ]
        offset, items = 0x40, []
        self.want: list[list[int]] = [[], [], []]
        for pc, counts in enumerate(loads):
            port_bytes = sum(16 * n * beats for n, beats in zip(counts, self.dut.planner.slice_beats, strict=True))
            stride = port_bytes + 0x130
            values = dict(zip(("norm_entries", "param_entries", "weight_words"), counts, strict=True))
            values |= dict(zip(("wait_b", "wait_b_base"), waits.get(pc, (0, 0)), strict=True))
            items.append({"word": encode(Opcode.LOAD_WEIGHTS, offset=offset, port_stride=stride, **values), "pc": pc})
            self._expect(offset, stride, counts)
            offset += stride * arch.weight_ports + 0x50
        self.source = StreamSource(self.dut.instructions, items, stall, 9)
        self.started = PulseLog(self.dut.started, self.dut.started_pc)
        self.finished = PulseLog(self.dut.finished, self.dut.finished_pc)
        for part in (*self.slaves, self.source, self.started, self.finished):
            self.sim.add_process(part.process)

    def _expect(self, offset: int, stride: int, counts: tuple[int, ...]) -> None:
        at = MODEL + offset
        for ring, (count, beats) in enumerate(zip(counts, self.dut.planner.slice_beats, strict=True)):
            for _ in range(count):
                word = 0
                for port in range(self.arch.weight_ports):
                    for beat in range(beats):
                        word |= ddr_beat(at + port * stride + 16 * beat) << 128 * (port * beats + beat)
                self.want[ring].append(word)
                at += 16 * beats

    async def read_ring(self, ctx, index: int, seed: int, pause: float, compared: list[int]) -> None:
        """Read, compare and free everything that ring ``index`` gets."""
        ring, rng, want = self.rings[index], random.Random(seed), self.want[index]
        for number, word in enumerate(want):
            await wait_until(ctx, lambda number=number: ctx.get(ring.arrived) > number)
            while rng.random() < pause:
                await ctx.tick()
            ctx.set(ring.read.address, number % ring.depth_words)
            ctx.set(ring.release, 1)
            await ctx.tick()
            ctx.set(ring.release, 0)
            for _ in range(READ_LATENCY - 1):
                await ctx.tick()
            assert ctx.get(ring.read.data) == word, f"ring {index} word {number}"
            compared.append(index)


LOADS = [(3, 2, 5), (0, 0, 0), (0, 3, 9), (1, 0, 0), (0, 0, 1), (0, 0, 0), (2, 5, 17), (0, 1, 0), (0, 2, 6)]


@pytest.mark.parametrize(
    ("ports", "stall", "changes"),
    [
        (1, 0.3, {"ring_bytes": 5 * 128, "param_entries": 3, "norm_entries": 2, "burst_beats": 16}),
        (2, 0.3, {"ring_bytes": 7 * 128, "param_entries": 4, "norm_entries": 3, "burst_beats": 4}),
        (4, 0.0, {"ring_bytes": 6 * 128, "param_entries": 5, "norm_entries": 4, "outstanding": 1}),
        (4, 0.5, {"ring_bytes": 3 * 256, "output_lanes": 32, "burst_beats": 1}),
    ],
)
def test_contents(ports: int, stall: float, changes: dict) -> None:
    """Every word of every load arrives whole and in order although the rings are smaller than the loads."""
    bench = Loader(LOADS, stall, weight_ports=ports, **changes)
    dut = bench.dut
    compared: list[int] = []

    async def control(ctx):
        ctx.set(dut.model, MODEL)
        await wait_until(ctx, lambda: len(bench.finished.entries) == len(LOADS))
        await wait_until(ctx, lambda: ctx.get(dut.idle))
        assert ctx.get(dut.busy) == 0

    bench.sim.add_testbench(control)
    for index in range(3):

        async def reader(ctx, index=index):
            await bench.read_ring(ctx, index, index, stall / 2, compared)

        bench.sim.add_testbench(reader)
    bench.sim.run()
    assert [pc for _, pc in bench.started.entries] == list(range(len(LOADS)))
    assert [pc for _, pc in bench.finished.entries] == list(range(len(LOADS)))
    assert [compared.count(index) for index in range(3)] == [sum(load[i] for load in LOADS) for i in range(3)]


def test_rate_and_timing() -> None:
    """With room in the rings and a prompt memory each port moves a beat a cycle; planning takes the stated cycles."""
    loads = [(0, 4, 16), (0, 4, 16), (0, 8, 24)]
    bench = Loader(loads, 0.0, 3, weight_ports=2, ring_bytes=128 * 128, output_lanes=16)
    dut = bench.dut
    beats = PulseLog(dut.beats[0])
    bench.sim.add_process(beats.process)

    async def control(ctx):
        await wait_until(ctx, lambda: len(bench.finished.entries) == len(loads))

    bench.sim.add_testbench(control)
    bench.sim.run()
    first, last = beats.entries[0][0], beats.entries[-1][0]
    total = sum(n * b for load in loads for n, b in zip(load, dut.planner.slice_beats, strict=True))
    assert len(beats.entries) == total
    assert last - first + 1 == total + len(loads) - 1, "one cycle per end marker and nothing else"
    chunks = sum(-(-n // most) for n, most in zip(loads[0], dut.planner.chunk_words, strict=True))
    starts = [cycle for cycle, _ in bench.started.entries]
    assert starts[1] - starts[0] == dut.planner.chunk_interval * chunks + dut.planner.load_overhead


def test_queue_takes_what_the_arch_says() -> None:
    """While the rings are full, ``load_queue`` loads wait."""
    bench = Loader([(0, 0, 40)] * 12, weight_ports=1, ring_bytes=2 * 128, load_queue=4)

    async def control(ctx):
        await ctx.tick().repeat(300)
        assert bench.source.sent == 1 + 4
        assert len(bench.started.entries) == 1
        assert ctx.get(bench.dut.idle) == 0

    bench.sim.add_testbench(control)
    bench.sim.run()


def test_a_load_waits_for_its_counter() -> None:
    """A load and those behind it start when the progress counter has reached the base."""
    waits = {1: (int(Counter.PATCH), 8)}
    bench = Loader([(0, 1, 2)] * 3, weight_ports=1, ring_bytes=64 * 128, waits=waits)
    dut = bench.dut

    async def control(ctx):
        for value in (0, 7):
            ctx.set(dut.counters[int(Counter.PATCH)], value)
            await ctx.tick().repeat(200)
            assert len(bench.started.entries) == 1
            assert ctx.get(dut.idle) == 0
        ctx.set(dut.counters[int(Counter.PATCH)], 8)
        await wait_until(ctx, lambda: len(bench.finished.entries) == 3)

    bench.sim.add_testbench(control)
    bench.sim.run()
    assert [pc for _, pc in bench.started.entries] == [0, 1, 2]


def test_error_names_the_load() -> None:
    """A bad response is a fault with the index of its load."""
    bench = Loader([(0, 1, 4), (0, 1, 4), (0, 1, 4)], weight_ports=2, ring_bytes=64 * 128)
    faults = PulseLog(bench.dut.fault.valid, bench.dut.fault.code, bench.dut.fault.pc)
    bench.sim.add_process(faults.process)

    async def control(ctx):
        ctx.set(bench.dut.model, MODEL)
        _, param, tile = bench.dut.planner.slice_beats
        stride = 16 * (param + 4 * tile) + 0x130
        target = MODEL + 0x40 + 2 * stride + 0x50 + 16 * param + 16
        bench.slaves[0].bad = lambda address: address == target
        await wait_until(ctx, lambda: len(bench.finished.entries) == 3)

    bench.sim.add_testbench(control)
    bench.sim.run()
    assert [entry[1:] for entry in faults.entries] == [(ErrorCode.AXI_READ, 1)]


@pytest.mark.parametrize("halt_at", [5, 20, 33, 47])
def test_halt(halt_at: int) -> None:
    """Requests stop, what is in flight is swallowed."""
    bench = Loader([(2, 4, 30)] * 8, 0.3, 25, weight_ports=2, ring_bytes=512 * 128)
    dut = bench.dut

    async def control(ctx):
        await ctx.tick().repeat(halt_at)
        ctx.set(dut.halt, 1)
        await wait_until(ctx, lambda: not ctx.get(dut.busy), 400)
        bursts = [len(slave.bursts) for slave in bench.slaves]
        await ctx.tick().repeat(40)
        assert [len(slave.bursts) for slave in bench.slaves] == bursts
        assert all(s.beats_served == sum(b.beats for b in s.bursts) for s in bench.slaves)

    bench.sim.add_testbench(control)
    bench.sim.run()
