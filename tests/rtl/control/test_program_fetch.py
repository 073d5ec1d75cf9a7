"""Program fetch: instructions in order, nothing past the padded program, cycles."""

import random

import pytest
from amaranth.sim import Simulator

from hwgen.rtl.control.program_fetch import CHUNK, ProgramFetch
from hwgen.spec.choices import FETCH_AHEAD
from hwgen.spec.isa import Opcode
from tests.rtl.arches import small_arch
from tests.rtl.axi_bench import PulseLog, ReadSlave, StreamSink, wait_until
from tests.rtl.clock import add_clock
from tests.rtl.programs import program_beat, random_instruction

PROGRAM = 0xFE0


def _bench(words: list[int], stall: float, reader_stall: float):
    dut = ProgramFetch(small_arch(2, 8, 8, burst_beats=8))
    sim = Simulator(dut)
    add_clock(sim)

    def read(address: int) -> int:
        index = (address - PROGRAM) // 32
        assert 0 <= index < -(-len(words) // CHUNK) * CHUNK, f"read past the program at {address:#x}"
        return program_beat(words, address - PROGRAM)

    slave = ReadSlave(dut.bus, stall, 3, 11, read=read)
    sink = StreamSink(dut.instructions, reader_stall, 5)
    for part in (slave, sink):
        sim.add_process(part.process)
    return sim, dut, slave, sink


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 40])
@pytest.mark.parametrize(("stall", "reader_stall"), [(0.0, 0.0), (0.4, 0.0), (0.0, 0.95)])
def test_program(count: int, stall: float, reader_stall: float) -> None:
    """``count`` instructions, the last one END; a slow reader holds the fetch back."""
    rng = random.Random(count)
    words = [random_instruction(rng) for _ in range(count - 1)] + [int(Opcode.END)]
    sim, dut, slave, sink = _bench(words, stall, reader_stall)

    async def bench(ctx):
        for run in range(2):
            ctx.set(dut.program, PROGRAM)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            await wait_until(ctx, lambda run=run: len(sink.items) == (run + 1) * count)
            await ctx.tick().repeat(60)
            assert ctx.get(dut.busy) == 0

    sim.add_testbench(bench)
    sim.run()
    got = [(item.word, item.pc) for item in sink.items]
    assert got == [(word, pc) for pc, word in enumerate(words)] * 2
    assert slave.beats_served == 2 * 2 * CHUNK * -(-count // CHUNK)
    assert FETCH_AHEAD >= 2 * CHUNK


def test_timing() -> None:
    """Cycles from the second beat of an instruction to the instruction."""
    sim, dut, _, sink = _bench([int(Opcode.END)], 0.0, 0.0)
    beats = PulseLog(dut.bus.rvalid & dut.bus.rready)
    shown = PulseLog(dut.instructions.valid)
    sim.add_process(beats.process)
    sim.add_process(shown.process)

    async def bench(ctx):
        ctx.set(dut.program, PROGRAM)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await wait_until(ctx, lambda: len(sink.items) == 1)

    sim.add_testbench(bench)
    sim.run()
    assert shown.entries[0][0] - beats.entries[1][0] == dut.latency
