"""Top-K equals golden for every K and E, at one token a cycle."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.gate import top_k
from hwgen.rtl.experts.top_k import TopK


@pytest.mark.parametrize("count", [1, 7, 32])
def test_selection(count: int):
    rng = np.random.default_rng(count)
    tokens = []
    for _ in range(150):
        experts = int(rng.integers(1, count + 1))
        low, high = [(-2, 2), (-32768, 32768), (32766, 32768)][rng.integers(3)]
        tokens.append((rng.integers(low, high, count), experts, int(rng.integers(1, experts + 1))))
    unit = TopK(count)
    compared = 0

    async def bench(ctx):
        nonlocal compared
        for step in range(len(tokens) + unit.latency):
            logits, experts, chosen = tokens[min(step, len(tokens) - 1)]
            ctx.set(unit.experts, experts)
            ctx.set(unit.top_k, chosen)
            for i in range(count):
                ctx.set(unit.logits[i], int(logits[i]))
            if step >= unit.latency:
                logits, experts, chosen = tokens[step - unit.latency]
                want = top_k(logits[None, :experts], chosen)[0]
                assert ctx.get(unit.selected) == sum(1 << int(e) for e in want)
                assert ctx.get(unit.present) == (1 << experts) - 1
                assert ctx.get(unit.largest) == logits[:experts].max()
                assert [ctx.get(unit.kept[i]) for i in range(count)] == logits.tolist()
                compared += 1
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert compared == 150


def test_count_is_checked():
    with pytest.raises(ValueError, match=r"1\.\.32 logits, got 33"):
        TopK(33)
