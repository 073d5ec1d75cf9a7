"""The register of the last turn says what a comparison would say, for loops of none, one and more turns."""

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hwgen.rtl.lib.loop_counter import LoopCounter


@pytest.mark.parametrize("turns", [1, 2, 5, 7])
def test_turns(turns: int):
    m = Module()
    limit, restart, step = Signal(3), Signal(), Signal()
    loop = LoopCounter(m, limit, "turn")
    with m.If(restart):
        loop.restart()
    with m.Elif(step):
        loop.step()
    rng = np.random.default_rng(turns)
    seen: list[tuple[int, bool]] = []

    async def bench(ctx):
        turn = 0
        ctx.set(limit, turns)
        for cycle in range(400):
            again, on = cycle == 0 or rng.random() < 0.05, bool(rng.random() < 0.6)
            ctx.set(restart, int(again))
            ctx.set(step, int(on))
            if again:
                turn = 0
            elif on:
                turn = (turn + 1) % turns
            await ctx.tick()
            assert (ctx.get(loop.turn), ctx.get(loop.at_last)) == (turn, turn == turns - 1)
            seen.append((turn, turn == turns - 1))

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(seen) == 400
    assert {turn for turn, _ in seen} == set(range(turns))


def test_no_turns_have_no_last_one():
    m = Module()
    limit, restart = Signal(3), Signal(init=1)
    loop = LoopCounter(m, limit, "turn")
    with m.If(restart):
        loop.restart()
    with m.Else():
        loop.step()
    counts = 0

    async def bench(ctx):
        nonlocal counts
        await ctx.tick()
        ctx.set(restart, 0)
        for _ in range(20):
            await ctx.tick()
            assert not ctx.get(loop.at_last)
            counts += ctx.get(loop.turn) > 0

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert counts > 10
