"""Scoreboard: sums of pulses per counter, modulo 2^16, and the rule by which they release a wait."""

import random
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data
from amaranth.sim import Simulator

from hwgen.rtl.control.scoreboard import Scoreboard
from hwgen.rtl.lib.decode import reached
from hwgen.rtl.lib.interfaces import PROGRESS_COUNTERS

SOURCES = 3


def test_counts_every_pulse() -> None:
    """Random pulses of all sources, often of one counter at a time; shown ``latency`` cycles later."""
    dut, rng = Scoreboard(SOURCES), random.Random(1)
    want = [0] * PROGRESS_COUNTERS
    compared = 0

    async def bench(ctx: Any) -> None:
        nonlocal compared
        for _ in range(200):
            for pulse in dut.pulses:
                valid, counter, count = rng.random() < 0.6, rng.randrange(1, PROGRESS_COUNTERS), rng.randrange(1 << 12)
                ctx.set(pulse.valid, valid)
                ctx.set(pulse.counter, counter)
                ctx.set(pulse.count, count)
                want[counter] += count * valid
            for _ in range(Scoreboard.latency):
                await ctx.tick()
            assert [ctx.get(dut.counters[index]) for index in range(PROGRESS_COUNTERS)] == [
                value % 2**16 for value in want
            ]
            compared += PROGRESS_COUNTERS

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert compared == 200 * PROGRESS_COUNTERS
    assert max(want) > 2**16  # the counters have wrapped


def test_reached_is_a_signed_difference() -> None:
    """``counter - base >= rows`` over the wrap of 16 bits; counter 0 never blocks."""
    m = Module()
    counters = Signal(data.ArrayLayout(16, PROGRESS_COUNTERS))
    counter, base, rows, verdict = Signal(4), Signal(16), Signal(12), Signal()
    m.d.comb += verdict.eq(reached(counters, counter, base, rows))
    cases = [
        (3, 10, 5, 15, 1),
        (3, 10, 5, 14, 0),
        (3, 65530, 10, 4, 1),
        (3, 65530, 10, 3, 0),
        (3, 4, 0, 3, 0),
        (3, 4, 0, 4, 1),
        (0, 40000, 4095, 0, 1),
        (15, 0, 4095, 4094, 0),
        (15, 0, 4095, 4095, 1),
    ]

    async def bench(ctx: Any) -> None:
        for which, first, needed, value, want in cases:
            ctx.set(counter, which)
            ctx.set(base, first)
            ctx.set(rows, needed)
            ctx.set(counters[which], value)
            assert ctx.get(verdict) == want, (which, first, needed, value)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
