"""Grants leave in the order in which they came, at every level from empty to full."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwgen.rtl.axi.grant_queue import GrantQueue


@pytest.mark.parametrize(("clients", "depth"), [(2, 1), (2, 5), (3, 16)])
def test_order_and_room(clients: int, depth: int):
    unit = GrantQueue(clients, depth)
    rng = np.random.default_rng(depth)
    waiting: list[int] = []
    levels: set[int] = set()
    taken = 0

    async def bench(ctx):
        nonlocal taken
        for step in range(600):
            eager = 0.8 if step // 100 % 2 else 0.3
            assert ctx.get(unit.room) == (len(waiting) < depth)
            assert ctx.get(unit.oldest) == (waiting[0] if waiting else 0)
            assert ctx.get(unit.second) == (waiting[1] if len(waiting) > 1 else 0)
            put, take = rng.random() < eager and len(waiting) < depth, rng.random() < 0.5 and bool(waiting)
            client = 1 << int(rng.integers(clients))
            ctx.set(unit.put, int(put))
            ctx.set(unit.take, int(take))
            ctx.set(unit.client, client)
            if take:
                waiting.pop(0)
                taken += 1
            if put:
                waiting.append(client)
            levels.add(len(waiting))
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert levels == set(range(depth + 1))
    assert taken > 100


def test_bad_sizes():
    with pytest.raises(ValueError, match="at least 1, got 2, 0"):
        GrantQueue(2, 0)
