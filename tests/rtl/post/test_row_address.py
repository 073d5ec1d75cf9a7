"""Row addresses: exact, checked before they are cut, in the stated number of cycles."""

import numpy as np
from amaranth.sim import Simulator

from hwgen.rtl.post.row_address import RowAddress, destination_words
from hwgen.spec.isa import Destination
from tests.rtl.arches import small_arch

FIELDS = (("row", 12), ("word", 10), ("key_tile", 8), ("base", 16), ("stride", 10))


def expected(arch, destination: Destination, f: dict[str, int]) -> tuple[int, bool]:
    """(address, in range) on unbounded integers."""
    banks = {Destination.KEY: arch.output_lanes, Destination.VALUE: arch.input_lanes}.get(destination, 1)
    offset = f["key_tile"] if destination == Destination.SCORE else f["word"]
    address = f["base"] + f["row"] // banks * f["stride"] + offset
    has_factor = destination in (Destination.SCORE, Destination.CONTEXT)
    fits = address < destination_words(arch).get(destination, 1 << 40)
    return address, fits and (f["row"] < arch.max_tokens or not has_factor)


def test_addresses_and_ranges():
    arch = small_arch(2, 8, 16, max_tokens=40)
    dut = RowAddress(arch)
    rng = np.random.default_rng(8)
    cases = []
    for n in range(1200):
        small = n % 3 != 0  # two thirds near the buffers, one third anywhere
        values = {name: int(rng.integers(1 << (min(bits, 5) if small else bits))) for name, bits in FIELDS}
        if small:
            values["stride"] = int(rng.integers(4))
        cases.append((Destination(n % len(Destination)), values))
    got: list[tuple[int, int]] = []

    async def bench(ctx):
        for step in range(len(cases) + dut.latency):
            if step < len(cases):
                ctx.set(dut.destination, int(cases[step][0]))
                for name, value in cases[step][1].items():
                    ctx.set(getattr(dut, name), value)
            if step >= dut.latency:
                got.append((ctx.get(dut.address), ctx.get(dut.in_range)))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    want = [expected(arch, destination, values) for destination, values in cases]
    assert [fits for _, fits in got] == [int(fits) for _, fits in want]
    inside = [(a, b) for (a, fits), (b, _), (d, _) in zip(got, want, cases, strict=True) if fits and int(d) < 8]
    assert [a for a, _ in inside] == [b for _, b in inside]
    assert 300 < len(inside) < 900
