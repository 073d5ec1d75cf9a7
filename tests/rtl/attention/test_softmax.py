"""Softmax statistics and row factors equal golden, whatever the order of words, with gaps and masks."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.softmax import row_factor, softmax_statistics
from hwgen.rtl.attention.softmax import SoftmaxStatistics
from hwgen.spec.isa import Counter
from hwgen.spec.tables import default_tables
from tests.rtl.side_arch import side_arch
from tests.rtl.table_load import load_tables

TABLES = default_tables()


def words_of(row: int, slot: int, scores: np.ndarray, lanes: int, rng: np.random.Generator) -> list[dict]:
    """The words of one query in a random order; a word without keys first, in the middle or nowhere."""
    tiles = -(-len(scores) // lanes)
    words = []
    for tile in rng.permutation(tiles):
        here = scores[tile * lanes : (tile + 1) * lanes]
        padded = np.concatenate([here, rng.integers(-512, 512, lanes - len(here))])
        words.append({"scores": padded, "mask": (1 << len(here)) - 1})
    if rng.integers(2):
        empty = {"scores": np.full(lanes, 511), "mask": 0}
        words.insert(int(rng.integers(tiles)), empty)
    for index, word in enumerate(words):
        word |= {"row": row, "slot": slot, "first_key": index == 0, "last_key": index == len(words) - 1}
    return words


def schedule(queries: list[np.ndarray], lanes: int, token_lanes: int, rng: np.random.Generator) -> list[dict | None]:
    """Words of all queries, each on its lane, randomly interleaved with gaps."""
    waiting: list[list[dict]] = [[] for _ in range(token_lanes)]
    for row, scores in enumerate(queries):
        lane = row % token_lanes
        waiting[lane] += [w | {"lane": lane} for w in words_of(row, row & 1, scores, lanes, rng)]
    steps: list[dict | None] = []
    while any(waiting):
        if rng.random() < 0.2:
            steps.append(None)
        else:
            lane = int(rng.choice([i for i, words in enumerate(waiting) if words]))
            steps.append(waiting[lane].pop(0))
    return steps


def run(arch, steps: list[dict | None], layer: list[tuple[int, int]]) -> tuple[list, list[int], int]:
    """(address, data, cycle) of every write, the cycles of progress pulses, and the latency of the unit."""
    unit = SoftmaxStatistics(arch)
    writes: list[tuple[int, int, int]] = []
    pulses: list[int] = []
    cycle = 0

    async def bench(ctx):
        nonlocal cycle
        await load_tables(ctx, unit.table, ("exp2", "reciprocal"))
        for step in steps + [None] * (unit.latency + 3):
            ctx.set(unit.i.valid, step is not None)
            if step is not None:
                for name in ("lane", "row", "slot", "first_key", "last_key", "mask"):
                    ctx.set(getattr(unit.i, name), int(step[name]))
                for i, score in enumerate(step["scores"]):
                    ctx.set(unit.i.scores[i], int(score))
                ctx.set(unit.i.mult2, layer[step["row"]][0])
                ctx.set(unit.i.shift2, layer[step["row"]][1])
            if ctx.get(unit.write.enable):
                writes.append((ctx.get(unit.write.address), ctx.get(unit.write.data), cycle))
            if ctx.get(unit.progress.valid):
                assert ctx.get(unit.progress.counter) == Counter.SCORE
                assert ctx.get(unit.progress.count) == 1
                pulses.append(cycle)
            await ctx.tick()
            cycle += 1

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return writes, pulses, unit.latency


def corner_queries() -> list[np.ndarray]:
    return [
        np.array([-512]),
        np.array([511]),
        np.full(33, 511),
        np.full(40, -512),
        np.array([-512, 511]),
        np.array([31, 32, -1, 0, -32, -33]),
    ]


@pytest.mark.parametrize(("token_lanes", "output_lanes"), [(1, 8), (2, 16), (4, 8)])
def test_row_factors(token_lanes: int, output_lanes: int):
    arch = side_arch(token_lanes=token_lanes, output_lanes=output_lanes)
    rng = np.random.default_rng(token_lanes)
    queries = corner_queries() + [
        np.clip(rng.integers(-400, 400) + rng.integers(-120, 120, rng.integers(1, 41)), -512, 511) for _ in range(24)
    ]
    layer = [(int(rng.integers(1, 65536)), int(rng.integers(6, 31))) for _ in queries]
    layer[2] = (65535, 30)
    steps = schedule(queries, output_lanes, token_lanes, rng)
    writes, pulses, latency = run(arch, steps, layer)
    finished = [(cycle, step["row"]) for cycle, step in enumerate(steps) if step is not None and step["last_key"]]
    assert len(writes) == len(finished) == len(queries)
    for (address, word, cycle), (start, row) in zip(writes, finished, strict=True):
        statistics = softmax_statistics(TABLES["exp2"], queries[row])
        mult, shift = row_factor(TABLES["reciprocal"], statistics, *layer[row])
        want = (int(statistics.top) & 31) | int(mult) << 5 | int(shift) << 21
        assert (address, word) == ((row & 1) * arch.max_tokens + row, want), row
        assert cycle == start + latency
    assert pulses == [cycle + 1 for _, _, cycle in writes]
    assert len({word for _, word, _ in writes}) > 20
