"""GELU lanes equal golden for every code, in the stated number of cycles."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.gelu import gelu
from hwgen.rtl.lib.interpolation import table_info
from hwgen.rtl.post.gelu import GeluLanes
from hwgen.spec.tables import GELU_ENTRIES, default_tables, pack_table
from tests.rtl.table_load import load_tables

LANES = 4


def run_gelu(z: np.ndarray, enable: np.ndarray, table: np.ndarray | None = None) -> np.ndarray:
    """y [rows, lanes] of z [rows, lanes], one row a cycle; ``table`` replaces the default one."""
    dut = GeluLanes(LANES)
    got: list[list[int]] = []

    async def bench(ctx):
        await load_tables(ctx, dut.table)  # the other tables must not reach this one
        for address, word in enumerate([] if table is None else pack_table(table).tolist()):
            ctx.set(dut.table.enable, 1)
            ctx.set(dut.table.table, table_info("gelu").index)
            ctx.set(dut.table.address, address)
            ctx.set(dut.table.data, word)
            await ctx.tick()
        ctx.set(dut.table.enable, 0)
        for step in range(len(z) + dut.latency):
            if step < len(z):
                ctx.set(dut.enable, int(enable[step]))
                for lane in range(LANES):
                    ctx.set(dut.z[lane], int(z[step, lane]))
            if step >= dut.latency:
                got.append([ctx.get(dut.y[lane]) for lane in range(LANES)])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(got)


def test_every_seventh_code_and_the_corners():
    edge = 176 << 6
    corners = [-32768, -32767, 32767, 0, 1, -1, 63, 64, -64, edge - 1, edge, -edge, 1 - edge, edge + 1]
    codes = np.concatenate([corners, np.arange(-edge - 100, edge + 100, 7), np.arange(-32768, 32768, 501)])
    codes = codes[: len(codes) // LANES * LANES].reshape(-1, LANES)
    rng = np.random.default_rng(3)
    enable = rng.random(len(codes)) < 0.8
    enable[:4] = True
    got = run_gelu(codes, enable)
    want = np.where(enable[:, None], gelu(default_tables()["gelu"], codes), codes)
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)
    assert len(np.unique(want)) > 2000


def test_the_table_is_data():
    """Random entries, extreme slopes included; the last entry still counts and the next step has no delta."""
    rng = np.random.default_rng(4)
    table = np.stack([rng.integers(0, 1 << 16, GELU_ENTRIES), rng.integers(-(1 << 15), 1 << 15, GELU_ENTRIES)], axis=1)
    edge = GELU_ENTRIES << 6
    codes = np.concatenate([np.arange(edge - 70, edge + 10), rng.integers(-edge - 64, edge + 64, 1200)])
    codes = codes.reshape(-1, LANES)
    got = run_gelu(codes, np.ones(len(codes), dtype=bool), table)
    np.testing.assert_array_equal(got, gelu(table, codes))
    assert len(np.unique(got)) > 800


def test_lanes_are_checked():
    with pytest.raises(ValueError, match="at least one lane, got 0"):
        GeluLanes(0)
