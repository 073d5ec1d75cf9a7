"""Expert queues: lengths 0, 1 and N, reads, the meta-queue, clearing, and pushes that have no place."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwgen.rtl.experts.expert_queues import ExpertQueues
from hwgen.spec.choices import READ_LATENCY
from tests.rtl.side_arch import side_arch


class Model:
    """Lists instead of memories."""

    def __init__(self, experts: int, tokens: int) -> None:
        self.queues: list[list[tuple[int, int]]] = [[] for _ in range(experts)]
        self.tokens = tokens

    def push(self, clear: bool, valid: bool, expert: int, token: int, score: int) -> None:
        if clear:
            self.queues = [[] for _ in self.queues]
        if valid and expert < len(self.queues) and len(self.queues[expert]) < self.tokens:
            self.queues[expert].append((token, score))


@pytest.mark.parametrize(("experts", "tokens"), [(8, 5), (1, 3), (6, 16)])
def test_random_pushes_and_reads(experts: int, tokens: int):
    unit = ExpertQueues(side_arch(max_experts=experts, max_tokens=tokens))
    rng = np.random.default_rng(experts)
    model = Model(experts, tokens)
    asked: list[tuple[int, int] | None] = []
    compared, overfull = 0, 0

    def check_lengths(ctx, expert: int) -> None:
        lengths = [len(queue) for queue in model.queues]
        filled = [e for e, length in enumerate(lengths) if length]
        after = [e for e in filled if e > expert]
        assert ctx.get(unit.length) == lengths[expert]
        assert ctx.get(unit.more) == bool(after)
        assert ctx.get(unit.first_valid) == bool(filled)
        if after:
            assert ctx.get(unit.next_expert) == after[0]
        if filled:
            assert ctx.get(unit.first_expert) == filled[0]

    async def bench(ctx):
        nonlocal compared, overfull
        for step in range(800):
            push = {
                "clear": rng.random() < 0.03,
                "valid": rng.random() < 0.6,
                "expert": int(min(rng.geometric(0.4) - 1, 40)),
                "token": int(rng.integers(4096)),
                "score": int(rng.integers(32769)),
            }
            for name, value in push.items():
                ctx.set(getattr(unit.push, name), int(value))
            ctx.set(unit.length_expert, step % experts)
            check_lengths(ctx, step % experts)
            place = (int(rng.integers(experts)), int(rng.integers(tokens)))
            ctx.set(unit.queue_expert, place[0])
            ctx.set(unit.queue_position, place[1])
            if step >= READ_LATENCY and asked[step - READ_LATENCY] is not None:
                assert (ctx.get(unit.queue_token), ctx.get(unit.queue_score)) == asked[step - READ_LATENCY]
                compared += 1
            queue = model.queues[place[0]]
            asked.append(queue[place[1]] if place[1] < len(queue) else None)
            overfull += push["valid"] and push["expert"] < experts and len(model.queues[push["expert"]]) == tokens
            model.push(**push)
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert compared > 60
    assert overfull > 3
