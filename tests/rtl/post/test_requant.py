"""Requantisation lanes equal golden, in the stated number of cycles."""

import math

import numpy as np
import pytest
from amaranth.hdl import Const, Module, signed
from amaranth.sim import Simulator

from golden.rounding import requant, sat16
from golden.rounding import saturate as golden_saturate
from hwgen.rtl.post.requant import RequantLanes, saturate
from hwgen.spec.numerics import MAX_BIAS, MAX_SHIFT


def run_lanes(dut, x, bias, mult, shift):
    """y [rows, lanes] of inputs [rows, lanes] given one row a cycle."""
    got: list[list[int]] = []
    rows, lanes = x.shape

    async def bench(ctx):
        for step in range(rows + dut.latency):
            if step < rows:
                for lane in range(lanes):
                    ctx.set(dut.x[lane], int(x[step, lane]))
                    if bias is not None:
                        ctx.set(dut.bias[lane], int(bias[step, lane]))
                    if mult.ndim == 2:
                        ctx.set(dut.mult[lane], int(mult[step, lane]))
                        ctx.set(dut.shift[lane], int(shift[step, lane]))
                if mult.ndim == 1:
                    ctx.set(dut.mult, int(mult[step]))
                    ctx.set(dut.shift, int(shift[step]))
            if step >= dut.latency:
                got.append([ctx.get(dut.y[lane]) for lane in range(lanes)])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(got)


def test_biased_lanes_equal_golden():
    rng = np.random.default_rng(1)
    rows, lanes = 600, 3
    shift = np.arange(rows * lanes).reshape(rows, lanes) % (MAX_SHIFT + 1)
    mult = rng.integers(0, 1 << 16, (rows, lanes))
    # Results of every size up to twice sixteen bits, so that some saturate and most do not.
    target = rng.integers(-(1 << 17), 1 << 17, (rows, lanes)) >> rng.integers(0, 17, (rows, lanes))
    exact = (target << shift.clip(0, 40)) // np.maximum(mult, 1)
    bias = rng.integers(-MAX_BIAS, MAX_BIAS + 1, (rows, lanes))
    x = np.clip(exact, -(2**31) + MAX_BIAS, 2**31 - 1 - MAX_BIAS) - bias
    keep = (x >= -(2**31)) & (x < 2**31)
    x, bias = np.where(keep, x, 1 << 30), np.where(keep, bias, -(1 << 30))
    corner = np.array([2**31 - 1, -(2**31), 0])
    x[:3], bias[:3], mult[:3], shift[:3] = corner, 0, 65535, np.array([[0], [1], [47]])
    got = run_lanes(RequantLanes(lanes), x, bias, mult, shift)
    want = sat16(requant(x, bias, mult, shift))
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)
    assert (np.abs(want) < 32767).mean() > 0.5
    assert {-32768, 32767} <= set(want.ravel().tolist())


def test_halves_round_up_not_to_even_and_not_away():
    """x * 1 with shift 1 and 2: every residue, both signs, through the lanes without bias and with a shared factor."""
    x = np.arange(-12, 13).reshape(-1, 1)
    for shift in (0, 1, 2, 3):
        lanes = RequantLanes(1, input_bits=22, biased=False, shared=True)
        got = run_lanes(lanes, x, None, np.full(len(x), 1), np.full(len(x), shift))
        assert got[:, 0].tolist() == [math.floor(value / 2**shift + 0.5) if shift else value for value in x[:, 0]]
        if shift == 1:
            assert got[:, 0].tolist() != np.rint(x[:, 0] / 2).astype(int).tolist()


def test_shared_narrow_lanes_equal_golden():
    rng = np.random.default_rng(2)
    rows, lanes = 400, 2
    x = rng.integers(-(1 << 21), 1 << 21, (rows, lanes)) >> rng.integers(0, 20, (rows, lanes))
    mult, shift = rng.integers(0, 1 << 16, rows), rng.integers(0, 25, rows)
    x[0], mult[0], shift[0] = -(1 << 21), 65535, 0
    got = run_lanes(RequantLanes(lanes, input_bits=22, biased=False, shared=True), x, None, mult, shift)
    want = sat16(requant(x, 0, mult[:, None], shift[:, None]))
    np.testing.assert_array_equal(got, want)
    assert len(np.unique(want)) > 200


@pytest.mark.parametrize("bits", [8, 10, 16, 18])
@pytest.mark.parametrize("width", [8, 16, 17, 20, 49])
def test_saturate(bits, width):
    edges = {0, 1, -1}
    for at in (bits - 1, width - 1):
        edges |= {(1 << at) + d for d in (-2, -1, 0, 1)} | {-(1 << at) + d for d in (-1, 0, 1, 2)}
    values = [v for v in sorted(edges) if -(1 << width - 1) <= v < 1 << width - 1]
    got = []

    async def bench(ctx):
        got.extend(ctx.get(saturate(Const(value, signed(width)), bits)) for value in values)

    simulator = Simulator(Module())
    simulator.add_testbench(bench)
    simulator.run()
    assert got == golden_saturate(np.array(values), bits).tolist()
    assert len(got) >= 7


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match="at least one lane, got 0"):
        RequantLanes(0)
    with pytest.raises(ValueError, match=r"2\.\.32, and 32 with a bias; got 22"):
        RequantLanes(1, input_bits=22)
