"""Dispatcher: order per unit, back-pressure and END."""

import random

import pytest
from amaranth.sim import Simulator

from hwgen.rtl.control.dispatcher import UNITS, Dispatcher
from hwgen.spec.choices import QUEUE_DEPTH
from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.ops import OPS
from tests.rtl.axi_bench import StreamSink, StreamSource, wait_until


def _bench(words: list[int], stall: float):
    dut = Dispatcher()
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    source = StreamSource(dut.instructions, [{"word": w, "pc": i} for i, w in enumerate(words)], stall / 2, 1)
    sinks = {unit: StreamSink(getattr(dut, unit.name.lower()), stall, 2 + unit) for unit in UNITS}
    for part in (source, *sinks.values()):
        sim.add_process(part.process)
    return sim, dut, source, sinks


@pytest.mark.parametrize("stall", [0.0, 0.6, 0.9])
def test_order(stall: float) -> None:
    """Every unit gets its own instructions, in order, whole; END ends it."""
    rng = random.Random(6)
    opcodes = [opcode for opcode in Opcode if opcode != Opcode.END]
    words = [rng.choice(opcodes) | rng.getrandbits(248) << 8 for _ in range(60)] + [int(Opcode.END), int(Opcode.STORE)]
    sim, dut, source, sinks = _bench(words, stall)

    async def bench(ctx):
        await wait_until(ctx, lambda: sum(len(sink.items) for sink in sinks.values()) == 60)
        await ctx.tick().repeat(5)
        assert ctx.get(dut.ended) == 1
        assert ctx.get(dut.empty) == 1
        assert ctx.get(dut.pc) == 61

    sim.add_testbench(bench)
    sim.run()
    assert source.sent == 61, "nothing is taken after END"
    for unit, sink in sinks.items():
        want = [(w, i) for i, w in enumerate(words[:60]) if OPS[Opcode(w & 255)].unit == unit]
        assert [(item.word, item.pc) for item in sink.items] == want
        assert len(want) > 3


@pytest.mark.parametrize("unit", [Unit.IO, Unit.COMPUTE, Unit.NORM])
def test_queues(unit: Unit) -> None:
    """A unit that takes nothing holds QUEUE_DEPTH instructions; then everything behind waits."""
    opcode = next(opcode for opcode, form in OPS.items() if form.unit == unit)
    words = [int(opcode)] * (QUEUE_DEPTH[unit] + 1) + [int(Opcode.LOAD_WEIGHTS)]
    sim, dut, source, sinks = _bench(words, 0.0)
    sinks[unit].stalls.busy = 1.1

    async def bench(ctx):
        await ctx.tick().repeat(20)
        assert source.sent == QUEUE_DEPTH[unit]
        assert ctx.get(dut.empty) == 0
        sinks[unit].stalls.busy = 0
        await wait_until(ctx, lambda: source.sent == len(words))

    sim.add_testbench(bench)
    sim.run()
    assert len(sinks[Unit.LOAD].items) == 1


def test_timing() -> None:
    """Cycles through an empty queue."""
    sim, dut, source, sinks = _bench([int(Opcode.STORE)], 0.0)

    async def bench(ctx):
        await wait_until(ctx, lambda: len(sinks[Unit.IO].items) == 1)

    sim.add_testbench(bench)
    sim.run()
    assert sinks[Unit.IO].cycles[0] - source.sent_cycles[0] == dut.latency
