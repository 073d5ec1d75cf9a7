"""Reciprocal and reciprocal square root equal golden over the whole range of exponents."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.reciprocal import reciprocal, rsqrt
from hwgen.rtl.lib.reciprocal import Reciprocal, ReciprocalSquareRoot
from hwgen.spec.tables import default_tables
from tests.rtl.table_load import load_tables


def run(unit, numbers: list[int]) -> list[tuple[int, int]]:
    got: list[tuple[int, int]] = []

    async def bench(ctx):
        await load_tables(ctx, unit.table, ("reciprocal", "rsqrt"))
        for step in range(len(numbers) + unit.latency):
            ctx.set(unit.x, numbers[min(step, len(numbers) - 1)])
            if step >= unit.latency:
                got.append((ctx.get(unit.value), ctx.get(unit.exponent)))
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return got


def numbers_of(width: int) -> list[int]:
    """Every exponent with all-zero, all-one and random bits below the leading one."""
    rng = np.random.default_rng(width)
    numbers = [1 << k for k in range(width)] + [(2 << k) - 1 for k in range(width)]
    return numbers + [int(rng.integers(1 << k, 2 << k)) for k in range(width) for _ in range(4)]


@pytest.mark.parametrize("width", [12, 21, 54])
def test_reciprocal(width: int):
    numbers = numbers_of(width)
    value, exponent = reciprocal(default_tables()["reciprocal"], np.array(numbers))
    got = run(Reciprocal(width), numbers)
    assert len(got) == len(numbers) == 6 * width
    assert got == list(zip(value.tolist(), exponent.tolist(), strict=True))


@pytest.mark.parametrize("width", [16, 50])
def test_reciprocal_square_root(width: int):
    numbers = [0, *numbers_of(width), 0, 1]
    value, exponent = rsqrt(default_tables()["rsqrt"], np.array(numbers))
    got = run(ReciprocalSquareRoot(width), numbers)
    assert len(got) == len(numbers)
    assert got == list(zip(value.tolist(), exponent.tolist(), strict=True))
    assert got[0] == (0, 0)


def test_widths_are_checked():
    with pytest.raises(ValueError, match=r"4\.\.64 bits, got 65"):
        Reciprocal(65)
    with pytest.raises(ValueError, match=r"even width of 4\.\.64 bits, got 7"):
        ReciprocalSquareRoot(7)
