"""Row sum: words of random and extreme rows equal golden, part after part, with gaps between rows."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.select import fused_row
from hwgen.rtl.select.row_sum import RowSum, sum_bits
from hwgen.spec.choices import row_sum_passes
from tests.rtl.side_arch import side_arch

ROOMS = {"key_bytes": 65536, "value_bytes": 65536, "ring_bytes": 65536}


@pytest.mark.parametrize("lanes", [8, 16, 32])
def test_words_equal_golden(lanes: int):
    arch = side_arch(output_lanes=lanes, max_tokens=1024, **ROOMS)
    unit, passes = RowSum(arch), row_sum_passes(arch)
    rng = np.random.default_rng(lanes)
    cases = [(rng.integers(-32768, 32768, (n, lanes)), rng.integers(0, 32768, n)) for n in (1, 2, 3, 40)]
    cases += [(np.full((n, lanes), x), np.full(n, 32767)) for n in (1, 1023) for x in (-32768, 32767)]
    cases += [(np.tile([[1], [-1]], (2, lanes)), np.array([8192, 8192, 8192, 1])) for _ in range(2)]  # near halves
    got: list[list[int]] = []
    sends: list[tuple | None] = []
    ends: list[int] = []
    for x, weights in cases:
        for part in range(passes):
            for n, (row, weight) in enumerate(zip(x.tolist(), weights.tolist(), strict=True)):
                sends += [None] * int(rng.integers(0, 3)) if len(weights) < 100 else []
                sends.append((row, weight, part, n == 0, n == len(weights) - 1))
        ends.append(len(sends) - 1 + unit.latency)

    async def bench(ctx):
        for cycle in range(len(sends) + unit.latency + 2):
            item = sends[cycle] if cycle < len(sends) else None
            ctx.set(unit.valid, item is not None)
            if item is not None:
                ctx.set(unit.x, sum((v & 0xFFFF) << 16 * i for i, v in enumerate(item[0])))
                for name, value in zip(("weight", "part", "first", "last"), item[1:], strict=True):
                    ctx.set(getattr(unit, name), int(value))
            assert ctx.get(unit.o_valid) == (cycle in ends)
            if cycle in ends:
                word = ctx.get(unit.y)
                values = [word >> 16 * i & 0xFFFF for i in range(lanes)]
                got.append([v - (v >> 15 << 16) for v in values])
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert sum_bits(arch) == 41
    assert got == [fused_row(weights, x).tolist() for x, weights in cases]
    assert {-32768, 32767} <= {value for row in got for value in row}
