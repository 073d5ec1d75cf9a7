"""Op expander: fields of every instruction, the expert loop with empty queues, and back-pressure."""

import random
from dataclasses import replace
from typing import Any

import pytest
from amaranth.sim import Simulator

from hwgen.rtl.matmul.op_expander import OpExpander
from hwgen.rtl.matmul.ops import OpKind, RowSource, op_layout
from hwgen.spec.arch import ArchConfig
from hwgen.spec.encoding import encode
from hwgen.spec.isa import EXPERT_HIDDEN, Counter, Destination, Opcode
from hwgen.spec.ops import OPS
from tests.rtl.arches import small_arch

ARCH = small_arch(2, 8, 16)
LISTS = replace(ARCH, list_entries=64)
FIELDS = [name for name, _ in op_layout()]


def _expand(
    words: list[int],
    lengths: list[int] | None = None,
    *,
    counters: dict[int, int] | None = None,
    seed: int = 0,
    arch: ArchConfig = ARCH,
) -> list[dict[str, int]]:
    """Ops of ``words``, taken with random stalls; at most 2000 cycles."""
    dut, ops, rng = OpExpander(arch), [], random.Random(seed)
    lengths = lengths or []

    async def bench(ctx: Any) -> None:
        waiting = list(enumerate(words))
        for counter, value in (counters or {}).items():
            ctx.set(dut.counters[counter], value)
        for _ in range(2000):
            ready = rng.random() < 0.6
            ctx.set(dut.o.ready, ready)
            ctx.set(dut.i.valid, bool(waiting))
            if not waiting:
                assert ctx.get(dut.idle)
                return
            ctx.set(dut.i.payload.pc, waiting[0][0])
            ctx.set(dut.i.payload.word, waiting[0][1])
            expert = ctx.get(dut.length_expert)
            ctx.set(dut.length, lengths[expert] if expert < len(lengths) else 0)
            ctx.set(dut.more, any(lengths[expert + 1 :]))
            if ctx.get(dut.o.valid) and ready:
                ops.append({name: ctx.get(getattr(dut.o.payload, name)) for name in FIELDS})
            taken = ctx.get(dut.i.ready)
            await ctx.tick()
            if taken:
                waiting.pop(0)
        raise AssertionError("the expander did not finish")

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return ops


def _random_fields(opcode: Opcode, seed: int) -> dict[str, int]:
    rng = random.Random(seed)
    return {item.name: rng.getrandbits(item.width - item.signed) for item in OPS[opcode].fields}


@pytest.mark.parametrize("opcode", [Opcode.LINEAR, Opcode.SCORES, Opcode.CONTEXT])
def test_single_op(opcode: Opcode) -> None:
    """Every field of the same name arrives unchanged, and the derived ones by their formula."""
    renamed = {"gelu_mult": "mult2", "gelu_shift": "shift2", "context_mult": "mult2", "context_shift": "shift2"}
    renamed |= {"key_offset": "b_offset", "key_stride": "b_stride", "value_offset": "b_offset"}
    renamed |= {"value_stride": "b_stride"}
    compared = 0
    for seed in range(8):
        values = _random_fields(opcode, seed)
        (op,) = _expand([encode(opcode, **values)], arch=LISTS)
        for name, value in values.items():
            target = renamed.get(name, name)
            if name == "score_base":
                target = "dst_base" if opcode == Opcode.SCORES else "src_base"
            assert op[target] == value, name
            compared += 1
        assert op["first"] == 1
        if opcode != Opcode.LINEAR:
            tiles = -(-values["keys"] // ARCH.output_lanes)
            assert op["out_tiles" if opcode == Opcode.SCORES else "src_stride"] == tiles & 1023
    assert compared == 8 * len(OPS[opcode].fields)


def test_a_machine_without_lists_observes_nothing() -> None:
    for arch, observed in ((LISTS, 2), (ARCH, 0)):
        (op,) = _expand([encode(Opcode.SCORES, rows=1, keys=4, in_chunks=1, observe=2)], arch=arch)
        assert op["observe"] == observed


@pytest.mark.parametrize("destination", list(Destination)[:10])
def test_linear_counts_its_rows(destination: Destination) -> None:
    """Each destination reports to its progress counter; gate rows are reported by the gate."""
    expected = {"EXPERT": 0, "SCORE": 0, "GATE": 0, "CONTEXT": 0}
    (op,) = _expand([encode(Opcode.LINEAR, rows=1, destination=int(destination))])
    assert op["counter"] == expected.get(destination.name, getattr(Counter, destination.name, None))


@pytest.mark.parametrize("lengths", [[3, 0, 0, 7], [0, 0, 2, 0], [1], [5, 5, 5], [0, 4, 0, 0, 1, 0]])
def test_experts(lengths: list[int]) -> None:
    """Two ops per expert; an empty queue gives two skips; the last expert with tokens finishes the instruction."""
    word = encode(
        Opcode.EXPERTS,
        rows=9,
        experts=len(lengths),
        in_chunks=3,
        hidden_tiles=5,
        hidden_chunks=7,
        out_tiles=2,
        src_base=11,
        src_stride=2,
        hidden_base=100,
        hidden_stride=4,
        dst_base=50,
        dst_stride=6,
        zero=-77,
        int4_first=len(lengths) & 1,
        int4_second=len(lengths) >> 1 & 1,
    )
    ops = _expand([word, word], lengths)
    assert len(ops) == 4 * len(lengths)
    assert [op["first"] for op in ops] == ([1] + [0] * (2 * len(lengths) - 1)) * 2
    hidden = 0
    for index, op in enumerate(ops):
        expert, second = divmod(index % (2 * len(lengths)), 2)
        length = lengths[expert]
        assert (op["expert"], op["rows"]) == (expert, length)
        assert op["kind"] == (OpKind.LINEAR if length else OpKind.SKIP)
        assert (op["in_chunks"], op["out_tiles"]) == ((7, 2) if second else (3, 5))
        assert op["int4"] == (len(lengths) >> second & 1)
        assert op["zero"] == -77
        assert (op["src_base"], op["dst_base"]) == ((100, 50) if second else (11, 100))
        assert op["source"] == (RowSource.QUEUE_ACTIVATION if second else RowSource.QUEUE_NORM)
        assert op["finish"] == (second and not any(lengths[expert + 1 :]))
        if second:
            assert (op["wait_a"], op["wait_a_base"]) == (EXPERT_HIDDEN, hidden)
            hidden += length


def test_experts_wait_for_the_gate() -> None:
    """Queues are not read before the gate has counted every token."""
    word = encode(Opcode.EXPERTS, rows=4, experts=1, wait_b=int(Counter.GATE), wait_b_base=4)
    with pytest.raises(AssertionError, match="did not finish"):
        _expand([word], [4], counters={int(Counter.GATE): 3})
    assert len(_expand([word], [4], counters={int(Counter.GATE): 4})) == 2
