"""Gate buffer: what ``space`` promises, and tokens assembled from several output tiles."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwgen.rtl.experts.gate_buffer import PROMISED_ROWS, GateBuffer
from tests.rtl.side_arch import side_arch


@pytest.mark.parametrize(("token_lanes", "experts"), [(1, 8), (4, 8), (3, 24)])
def test_the_promised_rows_fit_after_space_is_withdrawn(token_lanes: int, experts: int):
    """Rows come until ``space`` falls and PROMISED_ROWS more after that; then all tokens are taken and compared."""
    arch = side_arch(token_lanes=token_lanes, max_experts=experts)
    unit = GateBuffer(arch)
    rng = np.random.default_rng(token_lanes)
    tiles = experts // 8
    sent: list[tuple[int, list[int]]] = []
    got: list[tuple[int, list[int]]] = []
    late = 0

    async def send(ctx, lanes: int) -> None:
        logits = rng.integers(-32768, 32768, (lanes, experts))
        for tile in range(tiles):
            for lane in range(lanes):
                ctx.set(unit.i.valid, 1)
                ctx.set(unit.i.row, len(sent) + lane)
                ctx.set(unit.i.lane, lane)
                ctx.set(unit.i.tile, tile)
                ctx.set(unit.i.last_tile, tile == tiles - 1)
                for i in range(8):
                    ctx.set(unit.i.logits[i], int(logits[lane, 8 * tile + i]))
                await ctx.tick()
        ctx.set(unit.i.valid, 0)
        sent.extend([(len(sent) + lane, logits[lane].tolist()) for lane in range(lanes)])

    async def bench(ctx):
        nonlocal late
        await ctx.tick()
        while ctx.get(unit.space):
            await send(ctx, token_lanes)
        before = len(sent)
        while len(sent) - before < PROMISED_ROWS:
            await send(ctx, min(token_lanes, PROMISED_ROWS - (len(sent) - before)))
        late = len(sent) - before
        await ctx.tick()
        assert ctx.get(unit.level) == len(sent)
        for _ in range(len(sent)):
            row = ctx.get(unit.token.row)
            ctx.set(unit.take, 1)
            await ctx.tick()
            ctx.set(unit.take, 0)
            for _ in range(unit.latency - 1):
                await ctx.tick()
            got.append((row, [ctx.get(unit.logits[i]) for i in range(experts)]))
        assert ctx.get(unit.level) == 0
        assert ctx.get(unit.space)

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert late == PROMISED_ROWS
    assert len(sent) > PROMISED_ROWS + 100
    assert got == sent
