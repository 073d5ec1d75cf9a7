"""Ring: order, wrap at any depth, skew between slices, space, arrival and release."""

import random

import pytest
from amaranth.sim import Simulator

from hwgen.rtl.memory.ring import Ring
from hwgen.spec.choices import READ_LATENCY


@pytest.mark.parametrize(
    ("depth", "width", "slices"), [(5, 512, 2), (7, 256, 1), (2, 128, 1), (12, 512, 4), (3, 1024, 4), (8, 256, 2)]
)
def test_words_come_back(depth: int, width: int, slices: int) -> None:
    """Slices run ahead of one another at random; words are read in order, released at random, none is lost."""
    dut = Ring(depth, width, slices)
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    rng = random.Random(depth)
    total = 6 * depth + 11
    words = [rng.getrandbits(width) for _ in range(total)]
    slice_bits = width // slices
    state = {"reserved": 0, "released": 0, "full": 0, "empty": 0}
    compared = []

    async def fill(ctx):
        sent = [0] * slices
        while min(sent) < total * dut.slice_beats:
            space = ctx.get(dut.fill.space)
            assert state["reserved"] + space <= state["released"] + depth
            claim = min(rng.choice([0, 0, 1, 2]), space, total - state["reserved"])
            ctx.set(dut.fill.reserve, claim)
            state["full"] += space == 0
            for index in range(slices):
                go = sent[index] < state["reserved"] * dut.slice_beats and rng.random() < 0.7
                ctx.set(dut.fill.valid[index], go)
                if go:
                    word, beat = divmod(sent[index], dut.slice_beats)
                    ctx.set(dut.fill.data[index], words[word] >> (index * slice_bits + beat * 128) & (1 << 128) - 1)
                    sent[index] += 1
            state["reserved"] += claim
            await ctx.tick()
        ctx.set(dut.fill.reserve, 0)
        ctx.set(dut.fill.valid, 0)

    async def drain(ctx):
        pending = {}
        taken = 0
        for cycle in range(100 * total):
            ctx.set(dut.release, 0)
            if cycle in pending:
                assert ctx.get(dut.read.data) == pending.pop(cycle)
                compared.append(1)
            available = ctx.get(dut.arrived) - taken
            state["empty"] += available == 0
            assert ctx.get(dut.level) == ctx.get(dut.arrived) - state["released"]
            if available and rng.random() < 0.8:
                ctx.set(dut.read.address, taken % depth)
                pending[cycle + READ_LATENCY] = words[taken]
                taken += 1
                owed = taken - state["released"]
                if owed == depth or rng.random() < 0.4 or taken == total:
                    ctx.set(dut.release, owed)
                    state["released"] += owed
            if len(compared) == total:
                return
            await ctx.tick()
        raise AssertionError(f"only {len(compared)} of {total} words")

    sim.add_testbench(fill)
    sim.add_testbench(drain)
    sim.run()
    assert len(compared) == total
    assert state["full"] > 0
    assert state["empty"] > 0


@pytest.mark.parametrize(("depth", "slices"), [(8, 2), (4, 4), (5, 2), (16, 3)])
@pytest.mark.parametrize("late", [0, 1])
def test_one_slice_a_whole_ring_ahead(depth: int, slices: int, late: int) -> None:
    """One slice brings nothing until the others have filled the ring; then every word arrives, in every lap."""
    dut = Ring(depth, slices * 128, slices)
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    compared = []

    async def send(ctx, which: list[int], words: range) -> None:
        for word in words:
            for index in range(slices):
                ctx.set(dut.fill.valid[index], index in which)
                ctx.set(dut.fill.data[index], 1000 * word + index)
            await ctx.tick()
        ctx.set(dut.fill.valid, 0)
        await ctx.tick().repeat(3)

    async def bench(ctx):
        for lap in range(3):
            words = range(lap * depth, (lap + 1) * depth)
            ctx.set(dut.fill.reserve, depth)
            await ctx.tick()
            ctx.set(dut.fill.reserve, 0)
            await send(ctx, [index for index in range(slices) if index != late], words)
            assert ctx.get(dut.arrived) == lap * depth
            await send(ctx, [late], words)
            assert ctx.get(dut.arrived) == (lap + 1) * depth
            assert ctx.get(dut.level) == depth
            for word in words:
                ctx.set(dut.read.address, word % depth)
                await ctx.tick().repeat(READ_LATENCY)
                assert ctx.get(dut.read.data) == sum((1000 * word + index) << 128 * index for index in range(slices))
                compared.append(word)
            ctx.set(dut.release, depth)
            await ctx.tick()
            ctx.set(dut.release, 0)
            await ctx.tick().repeat(dut.release_latency)
            assert ctx.get(dut.fill.space) == depth

    sim.add_testbench(bench)
    sim.run()
    assert len(compared) == 3 * depth


def test_timing() -> None:
    """Cycles from the last beat to ``arrived``, from release and reserve to ``space``, from address to data."""
    dut = Ring(4, 256, 2)
    sim = Simulator(dut)
    sim.add_clock(1e-6)

    async def cycles_until(ctx, signal, value: int) -> int:
        for count in range(1, 10):
            await ctx.tick()
            ctx.set(dut.fill.reserve, 0)
            ctx.set(dut.release, 0)
            ctx.set(dut.fill.valid, 0)
            if ctx.get(signal) == value:
                return count
        raise AssertionError("never")

    async def bench(ctx):
        ctx.set(dut.fill.reserve, 3)
        assert await cycles_until(ctx, dut.fill.space, 1) == dut.reserve_latency
        ctx.set(dut.fill.valid, 3)
        for index in range(2):
            ctx.set(dut.fill.data[index], 0x1234 + index)
        assert await cycles_until(ctx, dut.arrived, 1) == dut.write_latency
        word = 0x1234 | 0x1235 << 128
        ctx.set(dut.read.address, 0)
        ctx.set(dut.release, 1)
        await ctx.tick().repeat(READ_LATENCY)
        ctx.set(dut.release, 0)
        assert ctx.get(dut.read.data) == word

    async def bench_release(ctx):
        await ctx.tick().repeat(20)
        space = ctx.get(dut.fill.space)
        ctx.set(dut.release, 1)
        assert await cycles_until(ctx, dut.fill.space, space + 1) == dut.release_latency

    sim.add_testbench(bench)
    sim.add_testbench(bench_release)
    sim.run()


def test_arguments() -> None:
    """Sizes that do not divide are named."""
    with pytest.raises(ValueError, match="192 is not 1 slices"):
        Ring(4, 192, 1)
    with pytest.raises(ValueError, match=r"must be in 2\.\.32767, got 32768"):
        Ring(32768, 128, 1)
