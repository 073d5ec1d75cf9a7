"""Stream buffer: order, stalls on both sides, latency, and outputs that hold still."""

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from hwgen.rtl.lib.stream_buffer import StreamBuffer

WORDS = 200


def _run(push: float, pull: float, seed: int) -> tuple[list[int], list[int]]:
    """Payloads taken and the cycles in which they were; the payloads put in are 0, 1, 2 ..."""
    dut, rng = StreamBuffer(12), random.Random(seed)
    taken: list[int] = []
    cycles: list[int] = []

    async def bench(ctx: Any) -> None:
        sent, waiting, offered = 0, None, False
        for cycle in range(20 * WORDS):
            valid = sent < WORDS and (offered or rng.random() < push)
            ctx.set(dut.i.valid, valid)
            ctx.set(dut.i.payload, sent)
            ctx.set(dut.o.ready, rng.random() < pull)
            accepted = valid and ctx.get(dut.i.ready)
            if waiting is not None:
                assert ctx.get(dut.o.valid)
                assert ctx.get(dut.o.payload) == waiting
            waiting = None
            if ctx.get(dut.o.valid):
                if ctx.get(dut.o.ready):
                    taken.append(ctx.get(dut.o.payload))
                    cycles.append(cycle)
                else:
                    waiting = ctx.get(dut.o.payload)
            await ctx.tick()
            sent += bool(accepted)
            offered = valid and not accepted
            if len(taken) == WORDS:
                return

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return taken, cycles


@pytest.mark.parametrize(("push", "pull"), [(1, 1), (0.5, 1), (1, 0.5), (0.6, 0.6), (0.2, 0.9)])
def test_nothing_is_lost_or_repeated(push: float, pull: float) -> None:
    """Every payload once and in order; nothing that waits changes."""
    taken, cycles = _run(push, pull, seed=7)
    assert taken == list(range(WORDS))
    if (push, pull) == (1, 1):
        assert cycles == [StreamBuffer.latency + i for i in range(WORDS)]
