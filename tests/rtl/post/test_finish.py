"""Finishing lanes: residual and saturation of every destination, in the stated number of cycles."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.linear import add_residual
from golden.rounding import sat8, sat10, sat16
from hwgen.rtl.post.finish import FinishLanes
from hwgen.spec.isa import Destination

LANES = 4
ZEROS = (-127, -1, 0, 1, 127, 40)  # zero points of hidden codes
WANT = {Destination.SCORE: sat10, Destination.GATE: sat16, Destination.RESULT: sat16}


def expected(destination: Destination, x: np.ndarray, residual: np.ndarray, zero: int) -> np.ndarray:
    """Values of one row by golden functions."""
    if destination == Destination.HIDDEN:
        return sat8(x + zero)
    if destination in (Destination.RESIDUAL, Destination.EXPERT):
        return add_residual(residual, x)
    return WANT.get(destination, sat8)(x)


def test_every_destination():
    rng = np.random.default_rng(11)
    edges = [127, 128, -127, -128, -129, 511, 512, -512, -513, 32767, -32768, 0]
    rows = 60 * len(Destination)
    x = np.where(
        rng.random((rows, LANES)) < 0.5, rng.choice(edges, (rows, LANES)), rng.integers(-900, 900, (rows, LANES))
    )
    residual = rng.choice([32767, -32768, 0, 1, -1, 5], (rows, LANES))
    keep = rng.integers(0, 1 << LANES, rows)
    zero = np.where(np.arange(rows) % len(Destination) == Destination.HIDDEN, rng.choice(ZEROS, rows), 0)
    assert set(ZEROS) <= set(zero.tolist())
    dut = FinishLanes(LANES)
    got: list[list[int]] = []

    async def bench(ctx):
        for step in range(rows + dut.latency):
            row = min(step, rows - 1)
            ctx.set(dut.destination, row % len(Destination))
            ctx.set(dut.zero, int(zero[row]))
            ctx.set(dut.keep, int(keep[min(max(step - 1, 0), rows - 1)]))
            for lane in range(LANES):
                ctx.set(dut.x[lane], int(x[row, lane]))
                ctx.set(dut.residual[lane], int(residual[row, lane]))
            if step >= dut.latency:
                got.append([ctx.get(dut.y[lane]) for lane in range(LANES)])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    want = np.array([expected(Destination(n % len(Destination)), x[n], residual[n], int(zero[n])) for n in range(rows)])
    want *= keep[:, None] >> np.arange(LANES) & 1
    np.testing.assert_array_equal(np.array(got), want)
    assert len(np.unique(want)) > 200


def test_lanes_are_checked():
    with pytest.raises(ValueError, match="at least one lane, got 0"):
        FinishLanes(0)
