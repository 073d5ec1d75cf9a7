"""Probabilities equal golden for every score against every octave window."""

import numpy as np
from amaranth.sim import Simulator

from golden.softmax import probabilities
from hwgen.rtl.matmul.probability import ProbabilityLanes
from hwgen.spec.tables import default_tables
from tests.rtl.side_arch import side_arch
from tests.rtl.table_load import load_tables


def test_every_score():
    arch = side_arch()
    unit = ProbabilityLanes(arch)
    rng = np.random.default_rng(0)
    words: list[tuple[int, np.ndarray, int]] = []
    for top in (-16, -9, -1, 0, 7, 15):
        scores = np.arange(-512, min(512, 32 * top + 32))
        scores = np.concatenate([scores, scores[: -len(scores) % 8]]).reshape(-1, 8)
        words += [(top, row, int(rng.choice([255, 255, 0, 0b101]))) for row in scores]
    gaps = rng.random(len(words)) < 0.1
    sent: list[tuple[int, int]] = []
    got: list[tuple[int, list[int]]] = []
    cycle = 0

    async def bench(ctx):
        nonlocal cycle
        await load_tables(ctx, unit.table, ("exp2",))
        for index, (top, scores, mask) in enumerate(words + [words[0]] * 4):
            for hold in range(1 + (index < len(words) and int(gaps[index]))):
                ctx.set(unit.valid, index < len(words) and hold == 0)
                ctx.set(unit.octave, top)
                ctx.set(unit.mask, mask)
                for lane in range(8):
                    ctx.set(unit.scores[lane], int(scores[lane]))
                if index < len(words) and hold == 0:
                    sent.append((cycle, index))
                if ctx.get(unit.o_valid):
                    got.append((cycle, [ctx.get(unit.p[lane]) for lane in range(8)]))
                await ctx.tick()
                cycle += 1

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(got) == len(sent) == len(words)
    seen = set()
    for (at, values), (start, index) in zip(got, sent, strict=True):
        top, scores, mask = words[index]
        kept = np.array([mask >> lane & 1 for lane in range(8)])
        want = probabilities(default_tables()["exp2"], scores, top) * kept
        assert values == want.tolist(), (top, scores)
        assert at == start + unit.latency
        seen |= set(values)
    assert 0 in seen
    assert max(seen) == 125
