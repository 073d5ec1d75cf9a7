"""Operand loader: rows of every source, waits, slots, probabilities against golden, out-of-bounds addresses."""

import random
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.softmax import probabilities, softmax_statistics
from hwgen.rtl.lib.interfaces import RowFactor
from hwgen.rtl.matmul.operand_loader import OperandLoader
from hwgen.rtl.matmul.ops import OpKind, RowSource
from hwgen.spec.choices import READ_LATENCY, REFILL_CYCLES
from hwgen.spec.isa import ErrorCode
from hwgen.spec.tables import default_tables
from tests.rtl.arches import small_arch
from tests.rtl.table_load import load_tables

LANES, CHUNK, WORD = 3, 8, 16
ARCH = small_arch(LANES, CHUNK, WORD)
TABLES = default_tables()


class Bench:
    """Memories with the buffers' latency around an OperandLoader; rows are released a while after they are loaded."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.numpy = np.random.default_rng(seed)
        self.norm = self.numpy.integers(-127, 128, (ARCH.norm_words, WORD))
        self.activation = self.numpy.integers(-127, 128, (ARCH.activation_words, WORD))
        self.scores = self.numpy.integers(-512, 512, (ARCH.score_words, WORD))
        self.octaves = self.numpy.integers(-16, 16, 2 * ARCH.max_tokens)
        self.queue = [(self.rng.randrange(60), self.rng.randrange(32769)) for _ in range(ARCH.max_tokens)]
        self.written: list[tuple[int, int, int, int]] = []  # slot, lane, word, data
        self.infos: list[tuple[int, int]] = []
        self.faults: list[tuple[int, int]] = []
        self.query_reads: list[int] = []
        self.step_period = 0  # cycles from step to step of the schedule; 0: the issuer is not in its steps
        self.release_cycles: list[int] = []  # tiles are given back in these cycles before any other
        self.write_cycles: list[int] = []
        self.enters = True  # rows are entered as soon as they are loaded

    def run(self, ops: list[dict[str, int]], *, ready_rows: int = 30000, cycles: int = 1500) -> "Bench":
        self.dut = OperandLoader(ARCH)
        self.ops, self.ready_rows, self.limit = ops, ready_rows, cycles
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self._drive)
        simulator.add_testbench(self._memories, background=True)
        simulator.run()
        return self

    def _word(self, values: Any, bits: int) -> int:
        return sum((int(value) & (1 << bits) - 1) << bits * i for i, value in enumerate(values))

    async def _memories(self, ctx: Any) -> None:
        """Every read port answers READ_LATENCY cycles after its address."""
        dut = self.dut
        history: list[tuple[int, ...]] = [(0, 0, 0, 0, 0)] * READ_LATENCY
        while True:
            ports = (dut.norm, dut.activation, dut.score, dut.factor)
            history.append((*[ctx.get(port.address) for port in ports], ctx.get(dut.queue_position)))
            await ctx.tick()
            norm, activation, score, factor, position = history[-READ_LATENCY]
            ctx.set(dut.norm.data, self._word(self.norm[norm % ARCH.norm_words], 8))
            ctx.set(dut.activation.data, self._word(self.activation[activation % ARCH.activation_words], 8))
            ctx.set(dut.score.data, self._word(self.scores[score % ARCH.score_words], 10))
            octave = int(self.octaves[factor % len(self.octaves)])
            ctx.set(dut.factor.data, RowFactor.as_shape().const({"octave": octave}).as_value().value)
            token, weight = self.queue[position % len(self.queue)]
            ctx.set(dut.queue_token, token)
            ctx.set(dut.queue_score, weight)

    async def _drive(self, ctx: Any) -> None:
        dut, waiting, loaded, released = self.dut, list(self.ops), 0, 0
        await load_tables(ctx, dut.table)
        ctx.set(dut.counters[1], self.ready_rows)
        total = sum(-(-op["rows"] // LANES) * LANES for op in self.ops)
        for cycle in range(self.limit):
            while released + LANES <= loaded and self._may_release(cycle):
                self._collect(ctx, released)
                released += LANES
            ctx.set(dut.released, released)
            ctx.set(dut.entered, loaded if self.enters else 0)
            if self.step_period:
                ctx.set(dut.stepping, 1)
                ctx.set(dut.step, cycle % self.step_period == 0)
            ctx.set(dut.i.valid, bool(waiting))
            if waiting:
                for name, value in waiting[0].items():
                    ctx.set(getattr(dut.i.payload, name), value)
            self._observe(ctx, cycle)
            if released == total and ctx.get(dut.idle):
                return
            taken = ctx.get(dut.i.ready) and bool(waiting)
            loaded += ctx.get(dut.load)
            await ctx.tick()
            if taken:
                waiting.pop(0)
        raise AssertionError(f"the loader did not finish: {released} of {total} rows released")

    def _may_release(self, cycle: int) -> bool:
        if cycle in self.release_cycles:
            self.release_cycles.remove(cycle)
            return True
        return not self.release_cycles and self.rng.random() < 0.1

    def _collect(self, ctx: Any, first: int) -> None:
        slot = first // LANES % 2
        self.infos += [
            (ctx.get(self.dut.info[slot][lane].token), ctx.get(self.dut.info[slot][lane].score))
            for lane in range(LANES)
        ]

    def _observe(self, ctx: Any, cycle: int) -> None:
        dut = self.dut
        if ctx.get(dut.w_enable):
            self.write_cycles.append(cycle)
            names = ("w_slot", "w_lane", "w_word", "w_data")
            self.written.append(tuple(ctx.get(getattr(dut, name)) for name in names))  # type: ignore[arg-type]
        if ctx.get(dut.fault.valid):
            self.faults.append((ctx.get(dut.fault.code), ctx.get(dut.fault.pc)))
        if ctx.get(dut.query_read):
            self.query_reads.append(cycle)


def _op(kind: OpKind, source: RowSource, rows: int, **more: int) -> dict[str, int]:
    base = {"kind": int(kind), "source": int(source), "rows": rows, "in_chunks": 4, "src_base": 5, "src_stride": 2}
    clear = {"wait_a": 0, "wait_a_base": 0, "keys": 0, "slot": 0, "expert": 0, "pc": 0}
    return {**base, **clear, **more}


def _expected(bench: Bench, memory: Any, rows: list[int], base: int, stride: int, words: int) -> list[tuple[int, ...]]:
    return [
        (index // LANES % 2, index % LANES, word, bench._word(memory[base + row * stride + word], 8))
        for index, row in enumerate(rows)
        for word in range(words)
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("source", [RowSource.NORM, RowSource.ACTIVATION])
def test_rows_in_order(source: RowSource, seed: int) -> None:
    """Rows of a buffer, word by word, into alternating slots; an op begins in a new slot."""
    bench = Bench(seed).run([_op(OpKind.LINEAR, source, 7), _op(OpKind.LINEAR, source, 2, in_chunks=1, src_base=9)])
    memory = bench.norm if source == RowSource.NORM else bench.activation
    first = _expected(bench, memory, list(range(7)), 5, 2, 2)
    second = _expected(bench, memory, [0, 1], 9, 2, 1)
    assert bench.written == first + [(slot ^ 1, lane, word, value) for slot, lane, word, value in second]
    assert [token for token, _ in bench.infos[:7]] == list(range(7))


def test_rows_by_queue() -> None:
    """First expert layer: rows named by the queue. Second: rows by position, token and score for the post-processor."""
    ops = [_op(OpKind.LINEAR, RowSource.QUEUE_NORM, 5), _op(OpKind.LINEAR, RowSource.QUEUE_ACTIVATION, 5)]
    bench = Bench(7).run(ops)
    tokens = [token for token, _ in bench.queue[:5]]
    first = _expected(bench, bench.norm, tokens, 5, 2, 2)
    second = _expected(bench, bench.activation, list(range(5)), 5, 2, 2)
    assert bench.written == first + second
    assert [token for token, _ in bench.infos[:5]] == list(range(5))
    assert bench.infos[6:11] == bench.queue[:5]


def test_context_rows_are_probabilities() -> None:
    """Scores become golden probabilities; keys past the end give zero."""
    keys, rows = 27, 6
    op = _op(OpKind.CONTEXT, RowSource.NORM, rows, in_chunks=4, keys=keys, slot=1, src_base=3)
    bench = Bench(3)
    for row in range(rows):  # octaves as the statistics would have left them
        values = bench.scores[3 + 2 * row : 5 + 2 * row].reshape(1, -1)[:, :keys]
        bench.octaves[ARCH.max_tokens + row] = softmax_statistics(TABLES["exp2"], values).top[0]
    bench.run([op])
    assert len(bench.written) == rows * 2
    for index, (_, _, word, data) in enumerate(bench.written):
        row = index // 2
        scores = bench.scores[3 + 2 * row : 5 + 2 * row].reshape(1, -1)[:, :keys]
        top = softmax_statistics(TABLES["exp2"], scores).top
        golden = np.zeros(2 * WORD, dtype=np.int64)
        golden[:keys] = probabilities(TABLES["exp2"], scores, top)[0]
        assert data == bench._word(golden[word * WORD : (word + 1) * WORD], 8)


def test_waits_row_by_row() -> None:
    """A row is not read before the progress counter has reached it."""
    op = _op(OpKind.LINEAR, RowSource.NORM, 6, wait_a=1, wait_a_base=10)
    for ready_rows in (13, 15):
        with pytest.raises(AssertionError, match="3 of 6 rows"):
            Bench(1).run([op], ready_rows=ready_rows, cycles=300)
    assert len(Bench(1).run([op], ready_rows=16, cycles=300).written) == 12


@pytest.mark.parametrize("period", [1, 4, 9, 30])
def test_scores_reads_one_query_row_a_step(period: int) -> None:
    """Between two steps of the schedule at most one query row is read, however long the steps are."""
    bench = Bench(2)
    bench.step_period = period
    bench.run([_op(OpKind.SCORES, RowSource.ACTIVATION, 8)])
    steps = [cycle // period for cycle in bench.query_reads]
    assert len(steps) == 8
    assert len(set(steps)) == 8
    assert len(bench.written) == 16


def test_scores_reads_ahead() -> None:
    """Before the first step as many rows as there are lanes are fetched, not more."""
    bench = Bench(2)
    bench.enters = False
    with pytest.raises(AssertionError, match="did not finish"):
        bench.run([_op(OpKind.SCORES, RowSource.ACTIVATION, 8)], cycles=100)
    assert len(bench.query_reads) == LANES


@pytest.mark.parametrize(("kind", "source"), [(OpKind.LINEAR, RowSource.NORM), (OpKind.CONTEXT, RowSource.NORM)])
def test_refill_takes_its_time(kind: OpKind, source: RowSource) -> None:
    """A slot that is given back is written REFILL_CYCLES later at the earliest; the issuer gives it back that early."""
    bench = Bench(4)
    bench.release_cycles = [60, 100, 140]
    bench.run([_op(kind, source, 4 * LANES, in_chunks=4, keys=32)])
    waited = [min(cycle for cycle in bench.write_cycles if cycle >= release) - release for release in (60, 100)]
    assert min(waited) >= REFILL_CYCLES
    assert len(bench.written) == 8 * LANES


def test_out_of_bounds() -> None:
    """An address past the buffer is reported with the instruction's index."""
    bench = Bench(0).run([_op(OpKind.LINEAR, RowSource.NORM, 3, src_base=ARCH.norm_words - 3, pc=42)])
    assert bench.faults
    assert set(bench.faults) == {(int(ErrorCode.OUT_OF_BOUNDS), 42)}
