"""Gated sums add up to the product, one cycle later, for signed and unsigned values and every grouping."""

import numpy as np
import pytest
from amaranth.hdl import Module, Shape, Signal, Value, signed
from amaranth.sim import Simulator

from hwgen.rtl.lib.gated_product import gated_sums


@pytest.mark.parametrize("group_bits", [1, 3, 4, 16])
@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("factor_bits", [6, 10, 16])
def test_sums_equal_the_product(factor_bits: int, is_signed: bool, group_bits: int):
    value, factor = Signal(Shape(16, is_signed)), Signal(factor_bits)
    product = Signal(signed(40))
    m = Module()
    terms = gated_sums(m, value, factor, group_bits)
    assert len(terms) == -(-factor_bits // group_bits)
    m.d.comb += product.eq(sum(terms, start=Value.cast(0)))
    low = -(1 << 15) if is_signed else 0
    high = low + (1 << 16) - 1
    rng = np.random.default_rng(factor_bits)
    corners = [(a, b) for a in (low, -low >> 1, high) for b in (0, 1, (1 << factor_bits) - 1)]
    pairs = corners + [(int(rng.integers(low, high + 1)), int(rng.integers(1 << factor_bits))) for _ in range(100)]
    got: list[int] = []

    async def bench(ctx):
        for a, b in pairs:
            ctx.set(value, a)
            ctx.set(factor, b)
            await ctx.tick()
            got.append(ctx.get(product))

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert got == [a * b for a, b in pairs]
    assert len(set(got)) > 90
