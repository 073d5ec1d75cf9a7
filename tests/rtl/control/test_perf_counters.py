"""Performance counters against sums of random pulses."""

import random

import pytest
from amaranth.sim import Simulator

from hwgen.rtl.control.perf_counters import LARGEST, PULSED, PerfCounters
from hwgen.spec.registers import REGISTERS


def test_counts() -> None:
    """Every counter equals its pulses while running, keeps its value afterwards and clears on demand."""
    dut = PerfCounters(3)
    sim = Simulator(dut)
    sim.add_clock(1e-6)

    async def run(ctx, rng, cycles: int) -> dict[str, int]:
        want = dict.fromkeys(("CYCLES", "READ_BEATS", *PULSED, *LARGEST), 0)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        for cycle in range(cycles):
            running = 3 <= cycle < cycles - 3
            ctx.set(dut.running, running)
            pulses = {name: rng.getrandbits(1) for name in PULSED}
            beats = rng.getrandbits(3)
            ctx.set(dut.read_beats, beats)
            for name, value in pulses.items():
                ctx.set(getattr(dut, name.lower()), value)
            for name in LARGEST:
                value = rng.randrange(200)
                ctx.set(getattr(dut, name.lower()), value)
                if running and pulses["ATTENTION_STEPS"]:
                    want[name] = max(want[name], value)
            if running:
                want["CYCLES"] += 1
                want["READ_BEATS"] += beats.bit_count()
                for name, value in pulses.items():
                    want[name] += value
            await ctx.tick().repeat(dut.latency)
        return want

    async def bench(ctx):
        rng = random.Random(2)
        for cycles in (150, 40):
            want = await run(ctx, rng, cycles)
            got = {name: ctx.get(getattr(dut.counts, name.lower())) for name in want}
            assert got == want
            assert len(set(got.values())) > 3

    sim.add_testbench(bench)
    sim.run()


def test_every_register_has_a_source() -> None:
    """Read-only registers are counters, or the error report and the identity."""
    names = {item.name for item in REGISTERS if item.access == "ro"}
    counted = {"CYCLES", "READ_BEATS", *PULSED, *LARGEST}
    assert names - counted == {"ERROR_CODE", "ERROR_PC", "ARCH_ID"}
    assert counted <= names


def test_arguments() -> None:
    """There is at least one reader."""
    with pytest.raises(ValueError, match="at least 1, got 0"):
        PerfCounters(0)
