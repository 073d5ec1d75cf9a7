"""Operand tile RAM and B operand: what the array sees, and when."""

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from hwgen.rtl.matmul.b_operand import BOperand
from hwgen.rtl.matmul.operand_ram import OperandRam
from hwgen.rtl.matmul.ops import OpKind
from hwgen.spec.choices import READ_LATENCY
from tests.rtl.arches import small_arch

SHAPES = [(1, 8, 8), (2, 8, 16), (3, 8, 32), (4, 16, 16)]


def _signed(value: int) -> int:
    return value - 256 if value > 127 else value


@pytest.mark.parametrize("shape", SHAPES)
def test_operand_ram(shape: tuple[int, int, int]) -> None:
    """Every lane gives the chunk of its own slot, ``latency`` cycles after the address."""
    lanes, inputs, outputs = shape
    arch, rng = small_arch(*shape, max_inputs=5 * outputs), random.Random(0)
    dut = OperandRam(arch)
    words = {
        (lane, slot, word): [rng.randrange(256) for _ in range(outputs)]
        for lane in range(lanes)
        for slot in range(2)
        for word in range(5)
    }
    compared = 0

    async def bench(ctx: Any) -> None:
        nonlocal compared
        ctx.set(dut.w_enable, 1)
        for (lane, slot, word), values in words.items():
            ctx.set(dut.w_lane, lane)
            ctx.set(dut.w_slot, slot)
            ctx.set(dut.w_word, word)
            ctx.set(dut.w_data, int.from_bytes(bytes(values), "little"))
            await ctx.tick()
        ctx.set(dut.w_enable, 0)
        asked: list[tuple[int, int, int]] = []
        for _ in range(60):
            asked.append((rng.randrange(5), rng.randrange(arch.subwords), rng.randrange(1 << lanes)))
            for port, value in zip((dut.r_word, dut.r_sub, dut.r_slots), asked[-1], strict=True):
                ctx.set(port, value)
            if len(asked) > OperandRam.latency:
                word, sub, slots = asked[-1 - OperandRam.latency]
                for lane in range(lanes):
                    chunk = words[lane, slots >> lane & 1, word][sub * inputs : (sub + 1) * inputs]
                    assert [ctx.get(dut.a[lane][i]) for i in range(inputs)] == [_signed(value) for value in chunk]
                    compared += inputs
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert compared == (60 - OperandRam.latency) * lanes * inputs


@pytest.mark.parametrize("shape", SHAPES)
def test_b_operand(shape: tuple[int, int, int]) -> None:
    """Weights as they lie in the ring or one nibble of each byte, keys transposed with the chunk chosen, values."""
    _, inputs, outputs = shape
    arch, rng = small_arch(*shape), random.Random(1)
    dut = BOperand(arch)
    sources = [OpKind.LINEAR, OpKind.SCORES, OpKind.CONTEXT]
    compared = 0

    def rows(count: int, width: int) -> list[list[int]]:
        return [[rng.randrange(256) for _ in range(width)] for _ in range(count)]

    async def bench(ctx: Any) -> None:
        nonlocal compared
        asked: list[tuple[OpKind, int, int, int]] = []
        given: list[tuple[list[list[int]], ...]] = []
        for _ in range(80):
            int4 = rng.randrange(2)
            asked.append((rng.choice(sources), rng.randrange(arch.subwords), int4, int4 and rng.randrange(2)))
            for port, value in zip((dut.source, dut.sub, dut.int4, dut.high), asked[-1], strict=True):
                ctx.set(port, int(value))
            given.append((rows(inputs, outputs), rows(outputs, outputs), rows(inputs, outputs)))
            weights, keys, values = given[-1]
            ctx.set(dut.weights, int.from_bytes(bytes(value for row in weights for value in row), "little"))
            for bank, word in enumerate(keys):
                ctx.set(dut.keys[bank], int.from_bytes(bytes(word), "little"))
            for bank, word in enumerate(values):
                ctx.set(dut.values[bank], int.from_bytes(bytes(word), "little"))
            if len(asked) > BOperand.latency:
                source, sub, int4, high = asked[-1 - BOperand.latency]
                weights, keys, values = given[-1 - BOperand.latency + READ_LATENCY]
                transposed = [[keys[o][sub * inputs + i] for o in range(outputs)] for i in range(inputs)]
                if int4:
                    weights = [[(value >> 4 * high & 15 ^ 8) - 8 & 255 for value in row] for row in weights]
                want = {OpKind.LINEAR: weights, OpKind.SCORES: transposed, OpKind.CONTEXT: values}[source]
                got = [[ctx.get(dut.b[i][o]) for o in range(outputs)] for i in range(inputs)]
                assert got == [[_signed(value) for value in row] for row in want]
                compared += 1
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert compared == 80 - BOperand.latency
