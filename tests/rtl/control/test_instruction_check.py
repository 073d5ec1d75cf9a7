"""Instruction check: what ``unseal`` and ``decode`` accept leaves, with its index; all else is a fault, once."""

import random
from collections import Counter

import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib.crc import catalog
from amaranth.sim import Simulator

from hwgen.rtl.control.instruction_check import InstructionCheck
from hwgen.spec.encoding import ChecksumError, checksum, decode, seal, unseal
from hwgen.spec.isa import INSTRUCTION_BYTES, ErrorCode, Opcode
from hwgen.spec.ops import OPS
from tests.rtl.axi_bench import PulseLog
from tests.rtl.programs import random_instruction

CASES = 60


def expected(data: bytes, index: int) -> tuple[ErrorCode, int]:
    """How the instruction must leave: code, and its word."""
    try:
        word = unseal(data, index)
        decode(word)
    except ChecksumError:
        return ErrorCode.CHECKSUM, 0
    except ValueError:
        return ErrorCode.ILLEGAL_INSTRUCTION, 0
    return ErrorCode.NONE, word


def damaged(data: bytes, *bits: int) -> bytes:
    """``data`` with other bits at these places."""
    word = int.from_bytes(data, "little")
    for bit in bits:
        word ^= 1 << bit
    return word.to_bytes(INSTRUCTION_BYTES, "little")


def last_instructions() -> list[tuple[bytes, int]]:
    """(data, index) of instructions that are good, damaged or illegal in every way."""
    rng, found = random.Random(5), []
    for _ in range(CASES):
        index = rng.getrandbits(16)
        data = seal(random_instruction(rng, end=True), index)
        found += [(data, index), (damaged(data, *rng.sample(range(256), rng.randint(1, 3))), index)]
        found.append((data, index ^ 1 << rng.randrange(16)))
    for opcode, form in OPS.items():
        for bit in {form.bits, 239, *(rng.randrange(form.bits, 240) for _ in range(4))}:
            found.append((seal(int(opcode) | 1 << bit, 7), 7))
    found += [(seal(code, 9), 9) for code in set(range(256)) - set(map(int, Opcode))][::7]
    return found


@pytest.mark.parametrize("gap", [0, 2])
def test_equals_unseal_and_decode(gap: int) -> None:
    """Two good instructions, one of any kind, a good one: all leave, or those before it do and it is the only fault."""
    m, dut, reset = Module(), InstructionCheck(), Signal()
    m.submodules.dut = ResetInserter(reset)(dut)
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    good = PulseLog(dut.valid, dut.item.word, dut.item.pc)
    bad = PulseLog(dut.fault.valid, dut.fault.code, dut.fault.pc)
    for part in (good, bad):
        simulator.add_process(part.process)
    seen: Counter[ErrorCode] = Counter()

    async def send(ctx, data: bytes, index: int) -> None:
        for half, name in enumerate(("low", "high")):
            ctx.set(dut.data, int.from_bytes(data[16 * half : 16 * half + 16], "little"))
            ctx.set(dut.pc, index if half else 0xFFFF)
            ctx.set(getattr(dut, name), 1)
            await ctx.tick()
            ctx.set(getattr(dut, name), 0)
            for _ in range(gap):
                await ctx.tick()

    async def bench(ctx):
        rng = random.Random(3)
        for data, index in last_instructions():
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            good.entries.clear()
            bad.entries.clear()
            around = [(seal(random_instruction(rng), at), at) for at in (1, 2, 3)]
            order = [*around[:2], (data, index), around[2]]
            for item in order:
                await send(ctx, *item)
            await ctx.tick().repeat(dut.latency + 1)
            assert ctx.get(dut.busy) == 0
            code, _ = expected(data, index)
            left = order if code is ErrorCode.NONE else order[:2]
            assert [entry[1:] for entry in good.entries] == [(unseal(*item), item[1]) for item in left]
            assert [entry[1:] for entry in bad.entries] == ([] if code is ErrorCode.NONE else [(code, index)])
            seen[code] += 1

    simulator.add_testbench(bench)
    simulator.run()
    assert min(seen[code] for code in (ErrorCode.NONE, ErrorCode.CHECKSUM, ErrorCode.ILLEGAL_INSTRUCTION)) > 30


def test_timing() -> None:
    """Cycles from the second beat to the instruction."""
    dut = InstructionCheck()
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    asked, left = PulseLog(dut.high), PulseLog(dut.valid)
    for part in (asked, left):
        simulator.add_process(part.process)

    async def bench(ctx):
        data = seal(int(Opcode.END), 0)
        for half, name in enumerate(("low", "high")):
            ctx.set(dut.data, int.from_bytes(data[16 * half : 16 * half + 16], "little"))
            ctx.set(getattr(dut, name), 1)
            await ctx.tick()
            ctx.set(getattr(dut, name), 0)
        await ctx.tick().repeat(6)

    simulator.add_testbench(bench)
    simulator.run()
    assert left.entries[0][0] - asked.entries[0][0] == dut.latency


def test_the_checksum_is_a_published_one() -> None:
    """CRC-16/IBM-3740 of the catalogue, over the first 30 bytes, XOR the index."""
    reference = catalog.CRC16_IBM_3740(data_width=8)
    assert reference.compute(b"123456789") == 0x29B1
    rng = random.Random(1)
    for index in (0, 1, 0xFFFF, 0x1_0002):
        data = rng.randbytes(INSTRUCTION_BYTES)
        assert checksum(data, index) == reference.compute(data[:30]) ^ index & 0xFFFF
