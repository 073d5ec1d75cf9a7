"""Table lookups equal golden, in the stated number of cycles."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.table import direct, interpolate
from hwgen.rtl.lib.interpolation import DirectTable, Interpolation, table_info
from hwgen.spec.tables import default_tables
from tests.rtl.table_load import load_tables


def lookups(unit, indices: np.ndarray, fractions: np.ndarray | None) -> np.ndarray:
    """Values that come ``latency`` cycles after each row of ``indices`` [rows, lanes]."""
    got: list[list[int]] = []

    async def bench(ctx):
        await load_tables(ctx, unit.table)
        for step in range(len(indices) + unit.latency):
            row = min(step, len(indices) - 1)
            for lane in range(indices.shape[1]):
                ctx.set(unit.index[lane], int(indices[row, lane]))
                if fractions is not None:
                    ctx.set(unit.fraction[lane], int(fractions[row, lane]))
            if step >= unit.latency:
                got.append([ctx.get(unit.value[lane]) for lane in range(indices.shape[1])])
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(got)


@pytest.mark.parametrize(("name", "bits"), [("gelu", 6), ("reciprocal", 10), ("rsqrt", 10)])
def test_interpolated_values(name: str, bits: int):
    info = table_info(name)
    rng = np.random.default_rng(bits)
    index = np.concatenate([np.repeat(np.arange(info.words), 3), rng.integers(0, info.words, 200)])
    fraction = rng.integers(0, 1 << bits, len(index))
    fraction[: 3 * info.words : 3] = 0
    fraction[1 : 3 * info.words : 3] = (1 << bits) - 1
    indices, fractions = (np.stack([v, v[::-1]], axis=1) for v in (index, fraction))
    got = lookups(Interpolation(info, bits, lanes=2), indices, fractions)
    want = interpolate(default_tables()[name], indices, fractions, bits)
    assert got.shape == want.shape
    assert len(np.unique(want)) > 100
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("name", "latency"), [("exp2", 0), ("gate_exp2", 1)])
def test_direct_values(name: str, latency: int):
    info = table_info(name)
    index = np.random.default_rng(1).permutation(info.words)
    indices = np.stack([index, np.roll(index, 1)], axis=1)
    got = lookups(DirectTable(info, 16, 2, latency), indices, None)
    want = direct(default_tables()[name], indices)
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)


def test_unknown_table_and_bad_parameters_are_named():
    with pytest.raises(ValueError, match="no table 'tanh'; there are exp2, gelu"):
        table_info("tanh")
    with pytest.raises(ValueError, match="latency is 0 or 1, got 2"):
        DirectTable(table_info("exp2"), 13, 1, 2)
    with pytest.raises(ValueError, match="at least 1, got 0, 1"):
        Interpolation(table_info("gelu"), 0)
