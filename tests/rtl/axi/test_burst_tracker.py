"""Burst tracker: owner and last beat of every burst, whatever comes when."""

import random
from collections import deque

import pytest
from amaranth.sim import Simulator

from hwgen.rtl.axi.burst_tracker import BurstTracker


@pytest.mark.parametrize(("beats", "depth", "owners"), [(1, 1, 1), (16, 1, 2), (16, 16, 1), (5, 3, 3), (64, 4, 1)])
@pytest.mark.parametrize("hurry", [0.2, 0.9])
def test_last_beats(beats: int, depth: int, owners: int, hurry: float) -> None:
    """Every beat of random bursts has its owner and its place; beats that nobody asked for change nothing."""
    dut, rng = BurstTracker(beats, depth, owners), random.Random(beats + depth)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    checked: list[bool] = []

    async def bench(ctx):
        under_way: deque[list[int]] = deque()  # owner and beats left of each burst
        settled = 0  # cycles since a burst ended
        for _ in range(3000):
            assert ctx.get(dut.owner) == (1 << under_way[0][0] if under_way else 0)
            settled += 1
            assert ctx.get(dut.room) or settled < 2 or len(under_way) >= depth
            put = ctx.get(dut.room) and rng.random() < hurry
            take = rng.random() < hurry
            if under_way:
                assert ctx.get(dut.last) == (under_way[0][1] == 1)
                checked.append(under_way[0][1] == 1)
            if take and under_way:
                under_way[0][1] -= 1
                if not under_way[0][1]:
                    under_way.popleft()
                    settled = 0
            owner, length = rng.randrange(owners), rng.choice([1, beats, rng.randint(1, beats)])
            ctx.set(dut.take, take)
            ctx.set(dut.put, put)
            ctx.set(dut.requester, 1 << owner)
            ctx.set(dut.length_less_one, length - 1 if put else rng.randrange(256))
            if put:
                under_way.append([owner, length])
            await ctx.tick()

    simulator.add_testbench(bench)
    simulator.run()
    assert sum(checked) > 50
    assert beats == 1 or sum(checked) < len(checked)


def test_arguments() -> None:
    """Sizes below one are refused by name."""
    with pytest.raises(ValueError, match="beats and depth of at least 1, got 0, 4"):
        BurstTracker(0, 4)
    with pytest.raises(ValueError, match="got 4, 0"):
        BurstTracker(4, 0)
