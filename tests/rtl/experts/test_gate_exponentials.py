"""Gate exponentials and their sum equal golden over the whole range of distances."""

import numpy as np
from amaranth.sim import Simulator

from golden.gate import gate_exponentials
from hwgen.rtl.experts.gate_exponentials import GateExponentials
from hwgen.spec.tables import default_tables
from tests.rtl.table_load import load_tables


def test_exponentials_and_sums():
    count = 8
    unit = GateExponentials(count)
    rng = np.random.default_rng(8)
    logits = rng.integers(-32768, 32768, (200, count))
    logits[:100] = rng.integers(0, 4300, (100, count))  # octaves 0..16, the last that count
    logits[100] = (0, 32767, 0, 0, 0, 0, 0, -32768)
    logits[101] = (15 * 256, 0, -1, 1, 255, 256, -256, -257)  # one remains at 15 octaves, nothing below
    summed = rng.integers(0, 256, 200)
    want = gate_exponentials(default_tables()["gate_exp2"], logits)
    got_x: list[list[int]] = []
    got_total: list[int] = []

    async def bench(ctx):
        await load_tables(ctx, unit.table, ("gate_exp2",))
        ctx.set(unit.present, 255)
        for step in range(200 + unit.latency):
            row = min(step, 199)
            for i in range(count):
                ctx.set(unit.logits[i], int(logits[row, i]))
            ctx.set(unit.largest, int(logits[row].max()))
            ctx.set(unit.summed, int(summed[row]))
            if unit.x_latency <= step < 200 + unit.x_latency:
                got_x.append([ctx.get(unit.x[i]) for i in range(count)])
            if step >= unit.latency:
                got_total.append(ctx.get(unit.total))
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert got_x == want.tolist()
    chosen = (summed[:, None] >> np.arange(count)) & 1
    assert got_total == (want * chosen).sum(axis=1).tolist()
    assert (want == 0).any()
    assert want[101, :3].tolist() == [32768, 1, 0]
