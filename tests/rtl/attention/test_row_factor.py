"""Row factors of extreme statistics equal golden at one row a cycle."""

import numpy as np
from amaranth.sim import Simulator

from golden.softmax import SoftmaxStatistics, row_factor
from hwgen.rtl.attention.row_factor import RowFactorUnit, total_bits
from hwgen.spec.tables import default_tables
from tests.rtl.side_arch import side_arch
from tests.rtl.table_load import load_tables


def test_one_row_a_cycle():
    arch = side_arch(max_tokens=1024)
    rng = np.random.default_rng(3)
    tops = np.arange(-16, 16).repeat(4)
    lowest = np.int64(4096) << (tops + 16)
    totals = np.where(np.arange(128) % 4 == 0, lowest, lowest + rng.integers(0, lowest * 1023))
    totals[-1] = 1024 * (8013 << 31)
    mults = rng.integers(0, 65536, 128)
    mults[::5] = 65535
    shifts = rng.integers(6, 20, 128)
    unit = RowFactorUnit(arch)
    got: list[int] = []

    async def bench(ctx):
        await load_tables(ctx, unit.table, ("reciprocal",))
        for step in range(128 + unit.latency):
            ctx.set(unit.i.valid, step < 128)
            index = min(step, 127)
            ctx.set(unit.i.top, int(tops[index]))
            ctx.set(unit.i.total, int(totals[index]))
            ctx.set(unit.i.mult, int(mults[index]))
            ctx.set(unit.i.shift, int(shifts[index]))
            ctx.set(unit.i.row, index)
            assert ctx.get(unit.write.enable) == (step >= unit.latency)
            if step >= unit.latency:
                assert ctx.get(unit.write.address) == step - unit.latency
                got.append(ctx.get(unit.write.data))
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert total_bits(arch) == 54
    mult, shift = row_factor(default_tables()["reciprocal"], SoftmaxStatistics(top=tops, total=totals), mults, shifts)
    want = (tops & 31) | mult << 5 | (shift & 63) << 21
    assert len(got) == 128
    assert (mult == 65535).any()
    np.testing.assert_array_equal(got, want)
