"""Gate unit and queues together: entries equal golden, in exact cycles, for every K, E and shape of arrival."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from golden.gate import gate
from golden.queues import expert_queues, meta_queue, queue_lengths
from hwgen.rtl.experts.expert_queues import ExpertQueues
from hwgen.rtl.experts.gate import GateUnit
from hwgen.rtl.experts.gate_buffer import PROMISED_ROWS
from hwgen.spec.isa import Counter
from hwgen.spec.tables import default_tables
from tests.rtl.side_arch import side_arch
from tests.rtl.table_load import load_tables

TABLES = default_tables()


class GateWithQueues(wiring.Elaboratable):
    """The unit and its queues."""

    def __init__(self, arch) -> None:
        self.gate, self.queues = GateUnit(arch), ExpertQueues(arch)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.gate, m.submodules.queues = self.gate, self.queues
        connect(m, self.gate.push, self.queues.push)
        return m


class Run:
    """One or more gate instructions (logits [tokens, experts]) through the unit, then the queues read back."""

    def __init__(self, arch, jobs: list[tuple[np.ndarray, int, bool]], gap: float = 0.0, tile_gap: int = 0) -> None:
        self.arch, self.jobs, self.gap, self.tile_gap = arch, jobs, gap, tile_gap
        self.rng = np.random.default_rng(1)
        self.trace: list[tuple[int, ...]] = []
        self.pulses: list[int] = []
        self.last_row_at: list[int] = []
        self.queues: list[list[tuple[int, int]]] = []
        self.full = False
        self.cycle = 0
        self.top = GateWithQueues(arch)
        simulator = Simulator(self.top)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self.bench)
        simulator.run()

    async def step(self, ctx) -> None:
        unit = self.top.gate
        if ctx.get(unit.trace.valid):
            names = ("pc", "token", "expert", "score")
            self.trace.append(tuple(ctx.get(getattr(unit.trace, name)) for name in names))
        if ctx.get(unit.progress.valid):
            assert (ctx.get(unit.progress.counter), ctx.get(unit.progress.count)) == (Counter.GATE, 1)
            assert not ctx.get(unit.idle)
            self.pulses.append(self.cycle)
        self.full |= not ctx.get(unit.space)
        await ctx.tick()
        self.cycle += 1

    async def send(self, ctx, pc: int, logits: np.ndarray, top_k: int, renormalise: bool) -> None:
        unit, pt, po = self.top.gate, self.arch.token_lanes, self.arch.output_lanes
        tokens, experts = logits.shape
        tiles = -(-experts // po)
        for start in range(0, tokens, pt):
            while not ctx.get(unit.space):
                await self.step(ctx)
            for tile in range(tiles):
                for lane in range(min(pt, tokens - start)):
                    while self.rng.random() < self.gap:
                        await self.step(ctx)
                    part = logits[start + lane, tile * po : (tile + 1) * po]
                    ctx.set(unit.i.valid, 1)
                    values = {
                        "pc": pc, "row": start + lane, "lane": lane, "tile": tile, "first_tile": start + tile == 0,
                        "last_tile": tile == tiles - 1, "experts": experts, "top_k": top_k, "renormalise": renormalise,
                    }  # fmt: skip
                    for name, value in values.items():
                        ctx.set(getattr(unit.i, name), int(value))
                    for i in range(po):
                        ctx.set(unit.i.logits[i], int(part[i]) if i < len(part) else 32767)
                    if tile == tiles - 1:
                        self.last_row_at.append(self.cycle)
                    await self.step(ctx)
                    ctx.set(unit.i.valid, 0)
                for _ in range(self.tile_gap):
                    await self.step(ctx)

    async def bench(self, ctx) -> None:
        await load_tables(ctx, self.top.gate.table, ("gate_exp2", "reciprocal"))
        for pc, (logits, top_k, renormalise) in enumerate(self.jobs):
            await self.send(ctx, pc, logits, top_k, renormalise)
            for _ in range(4000):
                if ctx.get(self.top.gate.idle):
                    break
                await self.step(ctx)
            assert ctx.get(self.top.gate.idle)
            self.lengths = await self.read_lengths(ctx)
        await self.read_queues(ctx)

    async def read_lengths(self, ctx) -> list[int]:
        lengths = []
        queues = self.top.queues
        for expert in range(self.arch.max_experts):
            ctx.set(queues.length_expert, expert)
            lengths.append(ctx.get(queues.length))
        self.meta = [ctx.get(queues.first_expert)] if ctx.get(queues.first_valid) else []
        while self.meta:
            ctx.set(queues.length_expert, self.meta[-1])
            if not ctx.get(queues.more):
                break
            self.meta.append(ctx.get(queues.next_expert))
        return lengths

    async def read_queues(self, ctx) -> None:
        """One address a cycle, answers two cycles later."""
        queues = self.top.queues
        places = [(e, p) for e, length in enumerate(self.lengths) for p in range(length)]
        entries = []
        for step in range(len(places) + 2):
            expert, position = places[min(step, len(places) - 1)]
            ctx.set(queues.queue_expert, expert)
            ctx.set(queues.queue_position, position)
            if step >= 2:
                entries.append((ctx.get(queues.queue_token), ctx.get(queues.queue_score)))
            await ctx.tick()
        self.queues = [[] for _ in self.lengths]
        for (expert, _), entry in zip(places, entries, strict=True):
            self.queues[expert].append(entry)

    def check(self) -> int:
        """Trace of all jobs, queues of the last one; returns the number of entries compared."""
        trace = []
        for pc, (logits, top_k, renormalise) in enumerate(self.jobs):
            chosen, scores = gate(TABLES["gate_exp2"], TABLES["reciprocal"], logits, top_k, renormalise=renormalise)
            for token in range(len(logits)):
                trace += [(pc, token, int(e), int(s)) for e, s in zip(chosen[token], scores[token], strict=True)]
        assert self.trace == trace
        want = expert_queues(chosen, scores, self.arch.max_experts)
        assert self.lengths == queue_lengths(want).tolist()
        assert self.meta == meta_queue(want).tolist()
        assert self.queues == [list(zip(q.tokens.tolist(), q.scores.tolist(), strict=True)) for q in want]
        assert len(self.pulses) == len(self.last_row_at) == sum(len(logits) for logits, _, _ in self.jobs)
        return len(trace)


def random_logits(tokens: int, experts: int, rng: np.random.Generator) -> np.ndarray:
    """Close races, ties, wide spreads and extremes."""
    kinds = [
        rng.integers(-600, 600, (tokens, experts)),
        rng.integers(-1, 2, (tokens, experts)),
        rng.integers(-32768, 32768, (tokens, experts)),
        rng.choice([-32768, 32767, 0], (tokens, experts)),
        np.zeros((tokens, experts), dtype=np.int64),
    ]
    return np.stack([kinds[token % 5][token] for token in range(tokens)]).astype(np.int64)


@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize("experts", [1, 2, 5, 8])
def test_every_k(experts: int, renormalise: bool):
    rng = np.random.default_rng(experts)
    jobs = [(random_logits(17, experts, rng), k, renormalise) for k in range(1, experts + 1)]
    run = Run(side_arch(), jobs, gap=0.2)
    assert run.check() == sum(17 * k for k in range(1, experts + 1))


@pytest.mark.parametrize(("pt", "po", "most", "experts"), [(1, 8, 16, 13), (4, 8, 32, 32), (3, 16, 24, 9)])
def test_experts_over_several_output_tiles(pt: int, po: int, most: int, experts: int):
    rng = np.random.default_rng(pt)
    arch = side_arch(token_lanes=pt, output_lanes=po, max_experts=most)
    run = Run(arch, [(random_logits(14, experts, rng), k, False) for k in (2, experts)], gap=0.1)
    assert run.check() == 14 * (2 + experts)


def test_all_tokens_to_one_expert_and_none():
    logits = np.full((40, 8), -20000, dtype=np.int64)
    logits[:, 3] = 500
    run = Run(side_arch(), [(logits, 1, False)])
    assert run.check() == 40
    assert run.lengths == [0, 0, 0, 40, 0, 0, 0, 0]
    assert {score for _, score in run.queues[3]} == {32768}
    logits[7, 3], logits[7, 6] = -20000, 500
    run = Run(side_arch(), [(logits, 1, True)], tile_gap=3)
    assert run.check() == 40
    assert (run.lengths[3], run.lengths[6]) == (39, 1)


@pytest.mark.parametrize("top_k", [1, 2, 3, 8])
def test_cycles(top_k: int):
    """A lone token takes ``latency``; a burst leaves one token every ``interval``."""
    rng = np.random.default_rng(top_k)
    alone = Run(side_arch(), [(random_logits(6, 8, rng), top_k, False)], tile_gap=40)
    assert alone.check() == 6 * top_k
    unit = alone.top.gate
    for start in range(0, 6, 2):
        assert alone.pulses[start] == alone.last_row_at[start] + unit.latency(top_k)
    burst = Run(side_arch(), [(random_logits(30, 8, rng), top_k, False)])
    assert burst.check() == 30 * top_k
    assert unit.interval(top_k) == top_k
    assert np.diff(burst.pulses).tolist() == [max(top_k, 1)] * 29


def test_space_keeps_a_slow_gate_from_losing_tokens():
    rng = np.random.default_rng(3)
    arch = side_arch(max_tokens=400, token_lanes=4)
    run = Run(arch, [(random_logits(400, 8, rng), 8, False)])
    assert run.check() == 3200
    assert run.full
    assert PROMISED_ROWS == 128
