"""Word queue against a list, with random puts and takes."""

from collections import deque

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwgen.rtl.lib.word_queue import WordQueue


def test_order_and_level():
    unit = WordQueue(12, 8)
    rng = np.random.default_rng(0)
    inside: deque[int] = deque()
    compared, levels = 0, set()

    async def bench(ctx):
        nonlocal compared
        expected: int | None = None
        for step in range(1000):
            assert ctx.get(unit.level) == len(inside)
            levels.add(len(inside))
            if expected is not None:
                assert ctx.get(unit.oldest) == expected
                compared += 1
            expected = inside[0] if inside else None
            put = len(inside) < 8 and rng.random() < (0.7 if step // 100 % 2 else 0.3)
            take = bool(inside) and rng.random() < 0.5
            word = int(rng.integers(4096))
            ctx.set(unit.put, put)
            ctx.set(unit.take, take)
            ctx.set(unit.word, word)
            if take:
                inside.popleft()
            if put:
                inside.append(word)
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert compared > 700
    assert levels == set(range(9))


def test_depth_is_checked():
    with pytest.raises(ValueError, match="power of two of at least 2, got 6"):
        WordQueue(4, 6)
