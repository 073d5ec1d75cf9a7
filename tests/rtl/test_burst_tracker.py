"""Burst tracker: the last beat of every burst, whatever comes when."""

import random
from collections import deque

import pytest
from amaranth.sim import Simulator

from hwgen.rtl.burst_tracker import BurstTracker


@pytest.mark.parametrize(("beats", "depth"), [(1, 1), (16, 1), (16, 16), (5, 3), (64, 4)])
@pytest.mark.parametrize("hurry", [0.2, 0.9])
def test_last_beats(beats: int, depth: int, hurry: float) -> None:
    """Every beat of random bursts is told apart, with puts as soon as the cycle of the last beat before."""
    dut, rng = BurstTracker(beats, depth), random.Random(beats + depth)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    checked: list[bool] = []

    async def bench(ctx):
        under_way: deque[int] = deque()  # beats left of each burst
        for _ in range(3000):
            assert ctx.get(dut.active) == bool(under_way)
            take = bool(under_way) and rng.random() < hurry
            if under_way:
                assert ctx.get(dut.last) == (under_way[0] == 1)
                checked.append(under_way[0] == 1)
            if take:
                under_way[0] -= 1
                if not under_way[0]:
                    under_way.popleft()
            length = rng.choice([1, beats, rng.randint(1, beats)])
            put = len(under_way) < depth and rng.random() < hurry
            ctx.set(dut.take, take)
            ctx.set(dut.put, put)
            ctx.set(dut.length_less_one, length - 1 if put else rng.randrange(256))
            if put:
                under_way.append(length)
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
