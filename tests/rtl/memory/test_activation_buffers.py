"""Buffers: what is written comes back READ_LATENCY cycles after its address, at every port and bank."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwgen.rtl.memory.activation_buffers import BankedBuffer, RowBuffer
from hwgen.spec.choices import READ_LATENCY


def simulate(dut, bench) -> None:
    """Run one testbench."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(("reads", "granularity"), [(1, None), (2, 8), (3, 4)])
def test_row_buffer_against_an_array(reads, granularity):
    depth, width = 13, 16
    rng = np.random.default_rng(reads)
    dut = RowBuffer(depth, width, reads=reads, granularity=granularity)
    field = granularity or width
    model = np.zeros((depth, width // field), dtype=np.int64)
    want: list[list[list[int]]] = []
    got: list[list[int]] = []

    def whole(fields) -> int:
        return sum(int(v) << field * n for n, v in enumerate(fields))

    async def bench(ctx):
        for _ in range(400):
            write, mask = int(rng.integers(depth)), int(rng.integers(1 << width // field)) * int(rng.random() < 0.6)
            addresses = [int(a) if a != write else (int(a) + 1) % depth for a in rng.integers(depth, size=reads)]
            value = rng.integers(0, 1 << field, width // field)
            want.append([model[a].tolist() for a in addresses])
            ctx.set(dut.write.address, write)
            ctx.set(dut.write.enable, mask)
            ctx.set(dut.write.data, whole(value))
            for n, address in enumerate(addresses):
                ctx.set(dut.read[n].address, address)
            got.append([ctx.get(dut.read[n].data) for n in range(reads)])
            for n in range(width // field):
                if mask >> n & 1:
                    model[write, n] = value[n]
            await ctx.tick()

    simulate(dut, bench)
    assert dut.latency == READ_LATENCY
    answers, wanted = got[READ_LATENCY:], [[whole(w) for w in words] for words in want[:-READ_LATENCY]]
    assert answers == wanted
    assert len(answers) == 398
    assert len({a for row in answers for a in row}) > 50


def test_banked_buffer_writes_one_bank_and_reads_all():
    banks, depth, width = 4, 6, 12
    rng = np.random.default_rng(9)
    dut = BankedBuffer(banks, depth, width)
    model = np.zeros((depth, banks), dtype=np.int64)
    want: list[list[int]] = []
    got: list[list[int]] = []

    async def bench(ctx):
        for _ in range(300):
            bank, write, value = int(rng.integers(banks)), int(rng.integers(depth)), int(rng.integers(1 << width))
            enable = int(rng.random() < 0.7)
            address = (write + int(rng.integers(1, depth))) % depth
            want.append(model[address].tolist())
            ctx.set(dut.write.bank, bank)
            ctx.set(dut.write.address, write)
            ctx.set(dut.write.data, value)
            ctx.set(dut.write.enable, enable)
            ctx.set(dut.address, address)
            got.append([ctx.get(dut.data[n]) for n in range(banks)])
            if enable:
                model[write, bank] = value
            await ctx.tick()

    simulate(dut, bench)
    assert got[READ_LATENCY:] == want[:-READ_LATENCY]
    assert len({a for row in got for a in row}) > 50


def test_sizes_are_checked():
    with pytest.raises(ValueError, match=r"depth must be 1\.\.65536 words, got 0"):
        RowBuffer(0, 8)
    with pytest.raises(ValueError, match="granularity must divide the width of 12 bits, got 8"):
        RowBuffer(4, 12, granularity=8)
    with pytest.raises(ValueError, match="power of two of at least 2, got 3"):
        BankedBuffer(3, 4, 8)
