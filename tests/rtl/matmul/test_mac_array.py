"""MAC array: exact sums of every tile, packed halves apart, latency as stated."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.linear import accumulate
from hwgen.rtl.matmul.mac_array import MacArray
from hwgen.rtl.matmul.mac_column import FIELD_BITS, MAX_PRODUCTS, MacColumn
from tests.rtl.arches import small_arch, with_cycle

CORNERS = ((127, 127), (-127, 127), (127, -127), (-127, -127), (0, 127), (-1, 1))


def flat(codes: np.ndarray) -> int:
    """int8 codes, first one lowest, as one vector."""
    return int.from_bytes(codes.astype(np.int8).tobytes(), "little")


def random_tiles(rng, arch, count):
    """Operands [chunks, Pt, Pi], [chunks, Pi, Po] of ``count`` tiles: corners first, with rows that differ in sign."""
    tiles = []
    for n in range(count):
        chunks = int(rng.integers(1, 6)) if n % 3 else 1
        a = rng.integers(-127, 128, (chunks, arch.token_lanes, arch.input_lanes))
        b = rng.integers(-127, 128, (chunks, arch.input_lanes, arch.output_lanes))
        if n < 2 * len(CORNERS):
            a[:], b[:] = CORNERS[n // 2]
            if n % 2:
                a[:, ::2] *= -1
        tiles.append((a, b))
    return tiles


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 8, 8), (2, 16, 16), (3, 8, 16), (4, 16, 16), (5, 8, 8)])
def test_sums_and_latency(rows, inputs, outputs):
    arch = small_arch(rows, inputs, outputs)
    rng = np.random.default_rng(rows)
    tiles = random_tiles(rng, arch, 24)
    dut = MacArray(arch)
    ends: list[int] = []
    seen: list[tuple[int, np.ndarray]] = []
    total = sum(len(a) for a, _ in tiles) * 2 + 40

    async def drive(ctx):
        for a, b in tiles:
            for chunk in range(len(a)):
                while rng.random() < 0.3:
                    ctx.set(dut.valid, 0)
                    ctx.set(dut.first, int(rng.integers(2)))
                    ctx.set(dut.last, int(rng.integers(2)))
                    await ctx.tick()
                ctx.set(dut.a.as_value(), flat(a[chunk]))
                ctx.set(dut.b.as_value(), flat(b[chunk]))
                ctx.set(dut.valid, 1)
                ctx.set(dut.first, chunk == 0)
                ctx.set(dut.last, chunk == len(a) - 1)
                if chunk == len(a) - 1:
                    ends.append(ctx.get(cycle))
                await ctx.tick()
        ctx.set(dut.valid, 0)

    async def watch(ctx):
        for _ in range(total):
            if ctx.get(dut.sums_valid):
                value = ctx.get(dut.sums.as_value())
                raw = value.to_bytes(4 * rows * outputs, "little")
                seen.append((ctx.get(cycle), np.frombuffer(raw, "<i4").reshape(rows, outputs)))
            await ctx.tick()

    module, cycle = with_cycle(dut)
    sim = Simulator(module)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.add_testbench(watch)
    sim.run()
    assert len(seen) == len(tiles) == len(ends)
    for (a, b), end, (at, sums) in zip(tiles, ends, seen, strict=True):
        want = sum(accumulate(a[c], b[c].T) for c in range(len(a)))
        np.testing.assert_array_equal(sums, want)
        assert at - end == MacArray.latency
    assert len({int(sums.sum()) for _, sums in seen}) > len(tiles) // 2


def test_field_bound_is_sharp():
    """Sixteen extreme products fit the field; seventeen would not."""
    assert MAX_PRODUCTS * 127**2 < 1 << FIELD_BITS - 1 <= (MAX_PRODUCTS + 1) * 127**2
    with pytest.raises(ValueError, match=r"input_lanes must be 1\.\.16 .* got 17"):
        MacColumn(2, 17)
    with pytest.raises(ValueError, match="token_lanes must be at least 1, got 0"):
        MacColumn(0, 8)
