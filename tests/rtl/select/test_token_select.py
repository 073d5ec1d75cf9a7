"""Token search: thresholds of random rows with many ties equal a sort; the cycles of every size."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwgen.rtl.select.token_select import TokenSelect
from hwgen.spec.choices import importance_lanes
from hwgen.spec.numerics import IMPORTANCE_BITS
from tests.rtl.side_arch import side_arch

ROOMS = {"key_bytes": 65536, "value_bytes": 65536, "ring_bytes": 65536}
Row = tuple[list[int], int, int]  # importances, prefix, keep


def search(lanes: int, rows: list[Row]) -> list[tuple[int, int]]:
    """(threshold, how many equal ones belong) of every row; each takes exactly its cycles."""
    arch = side_arch(output_lanes=lanes, **ROOMS)
    unit, width = TokenSelect(arch), importance_lanes(arch)
    found: list[tuple[int, int]] = []

    async def bench(ctx):
        for values, prefix, keep in rows:
            padded = [*values, *[0] * (-len(values) % width)]
            for name, value in (("rows", len(values)), ("prefix", prefix), ("keep", keep), ("start", 1)):
                ctx.set(getattr(unit, name), value)
            pipe = [0, 0]
            for cycle in range(unit.cycles(len(values)) + 1):
                assert ctx.get(unit.done) == (cycle == unit.cycles(len(values)))
                ctx.set(unit.words, pipe[1])
                at = ctx.get(unit.word) * width
                pipe = [sum(int(v) << IMPORTANCE_BITS * i for i, v in enumerate(padded[at : at + width])), pipe[0]]
                if cycle < unit.cycles(len(values)):
                    await ctx.tick()
                    ctx.set(unit.start, 0)
            found.append((ctx.get(unit.threshold), ctx.get(unit.equal)))
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def wanted(values: list[int], prefix: int, keep: int) -> tuple[int, int]:
    others = sorted(values[prefix:], reverse=True)
    threshold = others[keep - 1]
    return threshold, keep - sum(value > threshold for value in others)


@pytest.mark.parametrize("lanes", [8, 16, 32, 64])
def test_thresholds_equal_a_sort(lanes: int):
    rng = np.random.default_rng(lanes)
    rows: list[Row] = []
    for count in (1, 2, lanes // 2, lanes // 2 + 1, 40, *rng.integers(2, 41, 40).tolist()):
        count = min(count, 40)
        prefix = int(rng.choice([0, min(1, count - 1), rng.integers(0, count)]))
        keep = int(rng.choice([1, count - prefix, rng.integers(1, count - prefix + 1)]))
        levels = int(rng.choice([1, 2, 4, 64, 2**28 + 1, 2**29]))
        rows.append((rng.integers(0, levels, count).tolist(), prefix, keep))
    assert search(lanes, rows) == [wanted(*row) for row in rows]
    assert sum(wanted(*row)[1] != row[0].count(wanted(*row)[0]) for row in rows) > 5  # ties of which not all belong


def test_every_bit_of_the_threshold():
    """Neighbours that differ in one bit, at every place; the largest importance there is."""
    rows: list[Row] = [([0, 1 << bit, (1 << bit) - 1, 1 << bit], 1, 1 + bit % 3) for bit in range(IMPORTANCE_BITS)]
    rows.append(([2**IMPORTANCE_BITS - 1] * 5, 0, 3))
    assert search(8, rows) == [wanted(*row) for row in rows]
