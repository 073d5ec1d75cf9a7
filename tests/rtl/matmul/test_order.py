"""Compute unit as a whole: in which order it reads rows and sends tiles on, however it is held up.

The law of the machine (docs/architecture.md, "The order of the machine") rests on this: what leaves the unit is behind
the reads of its own rows and of all earlier ones, and the loader is at most a tile of rows ahead of the issuer.
"""

import random
from itertools import pairwise
from typing import Any

import pytest
from amaranth.sim import Simulator

from golden.attention import schedule_steps
from hwgen.rtl.matmul.compute_unit import ComputeUnit
from hwgen.spec.arch import ArchConfig
from hwgen.spec.encoding import encode
from hwgen.spec.isa import Counter, Destination, Opcode, Source
from hwgen.spec.timing import POST_LATENCY
from tests.rtl.arches import small_arch

LENGTHS = (3, 0, 4, 1)  # of the expert queues
ROWS, KEYS, GATED = 7, 19, 5
SCORES = 2  # index of that instruction
LIMIT = 20_000


def program() -> list[int]:
    """An instruction of every kind, which wait for each other's rows."""
    linear = {"rows": ROWS, "in_chunks": 2, "out_tiles": 2, "src_stride": 3, "dst_stride": 3, "wait_a": Counter.NORM}
    proj = {"source": Source.ACTIVATION, "out_tiles": 1, "wait_a": Counter.CONTEXT, "destination": Destination.RESIDUAL}
    head = {"rows": ROWS, "keys": KEYS}
    keys = {"wait_b": Counter.KEY, "wait_b_base": ROWS, "in_chunks": 2, "src_stride": 3}
    gate = {"wait_b": Counter.GATE, "wait_b_base": GATED, "rows": GATED, "experts": len(LENGTHS)}
    experts = {"in_chunks": 2, "hidden_tiles": 2, "hidden_chunks": 2, "out_tiles": 1}
    strides = {"src_stride": 3, "hidden_stride": 2, "dst_stride": 3}
    fields: list[tuple[Opcode, dict[str, int]]] = [
        (Opcode.LINEAR, {**linear, "in_chunks": 3, "destination": Destination.KEY}),
        (Opcode.LINEAR, {**linear, "in_chunks": 9, "destination": Destination.QUERY}),
        (Opcode.SCORES, {**head, **keys, "wait_a": Counter.QUERY}),
        (Opcode.CONTEXT, {**head, "out_tiles": 2, "dst_stride": 3, "wait_a": Counter.SCORE}),
        (Opcode.LINEAR, {**linear, **proj}),
        (Opcode.EXPERTS, {**gate, **experts, **strides}),
        (Opcode.LINEAR, {**linear, "rows": 3, "out_tiles": 1, "destination": Destination.RESULT}),
    ]
    return [encode(opcode, **{name: int(value) for name, value in values.items()}) for opcode, values in fields]


def tiles_of_rows(arch: ArchConfig) -> list[tuple[int, int, int]]:
    """(instruction, rows, output tiles of a tile of rows) of every op in order; SCORES: the steps of its schedule."""
    experts = [(5, rows, tiles) for rows in LENGTHS if rows for tiles in (2, 1)]
    steps = schedule_steps(ROWS, arch.token_lanes, arch.words(KEYS))
    return [(0, ROWS, 2), (1, ROWS, 2), (SCORES, ROWS, steps), (3, ROWS, 2), (4, ROWS, 1), *experts, (6, 3, 1)]


class Bench:
    """The unit with everything around it slow at random; records rows, words, chunks and tiles by cycle."""

    def __init__(self, lanes: int, seed: int, stall: float) -> None:
        self.arch, self.rng, self.stall = small_arch(lanes, 8, 8), random.Random(seed), stall
        self.dut = ComputeUnit(self.arch)
        self.loads: list[int] = []  # of every row, padding included: its last word is there
        self.writes: list[tuple[int, int]] = []  # cycle and row of every word of the operand RAM
        self.chunks: list[tuple[int, int, int]] = []  # cycle, first and last of a tile
        self.sums: list[tuple[int, int, list[int]]] = []  # cycle, instruction and rows of the valid lanes of a tile
        self._counts: list[tuple[int, int]] = []  # when a row is counted, in order
        self._freed = self._used = 0  # words of the rings

    def run(self) -> "Bench":
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self._bench)
        simulator.run()
        return self

    def _slow(self) -> bool:
        return self.rng.random() < self.stall

    async def _bench(self, ctx: Any) -> None:
        dut, waiting, weights, params = self.dut, program(), 0, 0
        total, idle = len(waiting), 0
        for cycle in range(LIMIT):
            ctx.set(dut.i.valid, bool(waiting))
            if waiting:
                ctx.set(dut.i.payload.word, waiting[0])
                ctx.set(dut.i.payload.pc, total - len(waiting))
            weights += weights < self._freed + self.arch.ring_words and not self._slow()
            params += params < self._used + self.arch.param_entries and not self._slow()
            ctx.set(dut.weights_arrived, weights)
            ctx.set(dut.params_arrived, params)
            ctx.set(dut.result_space, not self._slow())
            for counter, rows in ((Counter.NORM, ROWS), (Counter.GATE, GATED)):
                if ctx.get(dut.counters[counter]) < rows and not self._slow():
                    ctx.set(dut.counters[counter], ctx.get(dut.counters[counter]) + 1)
            while self._counts and self._counts[0][0] <= cycle:
                _, counter = self._counts.pop(0)
                ctx.set(dut.counters[counter], ctx.get(dut.counters[counter]) + 1)
            expert = ctx.get(dut.queue.length_expert)
            ctx.set(dut.queue.length, LENGTHS[expert] if expert < len(LENGTHS) else 0)
            ctx.set(dut.queue.more, any(LENGTHS[expert + 1 :]))
            self._record(ctx, cycle)
            taken = ctx.get(dut.i.ready) and bool(waiting)
            idle = idle + 1 if ctx.get(dut.idle) and not waiting else 0
            if idle > 2 * POST_LATENCY:
                return
            await ctx.tick()
            if taken:
                waiting.pop(0)
        raise AssertionError("the unit did not finish")

    def _record(self, ctx: Any, cycle: int) -> None:
        dut = self.dut
        loader, issuer = dut._loader, dut._issuer
        if ctx.get(loader.w_enable):
            self.writes.append((cycle, len(self.loads)))
        if ctx.get(loader.load):
            self.loads.append(cycle)
        if ctx.get(issuer.valid):
            self.chunks.append((cycle, ctx.get(issuer.first), ctx.get(issuer.last)))
        self._freed += ctx.get(dut.weights_release)
        self._used += ctx.get(dut.params_release)
        assert not any(ctx.get(fault.valid) for fault in dut.fault)
        if ctx.get(dut.sums_valid):
            self._tile(ctx, cycle)

    def _tile(self, ctx: Any, cycle: int) -> None:
        """What the post-processor and those behind it do with a tile: its rows are counted late."""
        tag = self.dut.tag
        self._used += ctx.get(tag.param_release)
        lanes = [lane for lane in range(self.arch.token_lanes) if ctx.get(tag.lanes[lane].valid)]
        self.sums.append((cycle, ctx.get(tag.pc), [ctx.get(tag.lanes[lane].row) for lane in lanes]))
        scores = ctx.get(tag.destination) == Destination.SCORE
        counter = int(Counter.SCORE) if scores else ctx.get(tag.counter)
        for lane in lanes:
            if counter and ctx.get(tag.lanes[lane].last_key if scores else tag.last_tile):
                late = cycle + POST_LATENCY + lane + (self.rng.randrange(60) if self._slow() else 0)
                self._counts.append((max(late, self._counts[-1][0] if self._counts else 0), counter))


class Tile:
    """A tile of sums with the rows that it needs, by their number in the order of the loader."""

    def __init__(self, bench: Bench, number: int, rows: list[int]) -> None:
        firsts = [cycle for cycle, first, _ in bench.chunks if first]
        lasts = [cycle for cycle, _, last in bench.chunks if last]
        self.rows, self.first, self.last, self.sums = rows, firsts[number], lasts[number], bench.sums[number][0]


def tiles(bench: Bench) -> list[Tile]:
    """Every tile in order; fails when there are more or fewer than the program has."""
    lanes, found, base = bench.arch.token_lanes, list[Tile](), 0
    assert len(bench.sums) == sum(first for _, first, _ in bench.chunks) == sum(last for *_, last in bench.chunks)
    for pc, rows, each in tiles_of_rows(bench.arch):
        blocks = -(-rows // lanes)
        for turn in range(each if pc == SCORES else blocks * each):
            _, seen, valid = bench.sums[len(found)]
            assert seen == pc, "tiles leave in program order"
            block = turn // each * lanes
            own = [base + row for row in valid] if pc == SCORES else [base + block + lane for lane in range(lanes)]
            found.append(Tile(bench, len(found), own))
        base += blocks * lanes
    assert (len(found), base) == (len(bench.sums), len(bench.loads))
    return found


@pytest.fixture(scope="module", params=[(2, 1, 0.0), (2, 2, 0.5), (3, 3, 0.8), (1, 4, 0.5)], ids=str)
def bench(request: Any) -> Bench:
    return Bench(*request.param).run()


def test_a_tile_is_behind_the_reads_of_its_rows_and_of_all_earlier_ones(bench: Bench):
    """They are in the operand RAM before its first chunk goes to the array, so long before its sums leave."""
    assert bench.loads == sorted(bench.loads)
    for tile in tiles(bench):
        if tile.rows:
            assert bench.loads[max(tile.rows)] < tile.first <= tile.last == tile.sums - bench.dut.latency


def test_tiles_leave_in_order(bench: Bench):
    """At least max(chunks, lanes) cycles apart, so that the post-processor's rows never meet."""
    for before, after in pairwise(tiles(bench)):
        assert before.last < after.first
        assert after.sums - before.sums >= bench.arch.token_lanes


def test_the_loader_is_at_most_a_tile_of_rows_ahead(bench: Bench):
    """No word of a row is written before the row two tiles of rows ahead of it has gone through the array; and the
    loader does make use of the tile that it may be ahead."""
    lanes, last_use = bench.arch.token_lanes, dict[int, int]()
    for tile in tiles(bench):
        last_use |= dict.fromkeys(tile.rows, tile.last)
    assert all(cycle > last_use.get(row - 2 * lanes, -1) for cycle, row in bench.writes)
    assert any(cycle < last_use.get(row - lanes, -1) for cycle, row in bench.writes)


def test_scores_reads_as_many_queries_ahead_as_there_are_lanes(bench: Bench):
    """Query q is read when query q - lanes has entered: it is behind the sums of few earlier queries only."""
    lanes, first_use = bench.arch.token_lanes, dict[int, int]()
    base = sum(-(-rows // lanes) * lanes for pc, rows, _ in tiles_of_rows(bench.arch) if pc < SCORES)
    for tile in tiles(bench):
        for row in tile.rows:
            first_use.setdefault(row, tile.first)
    queries = [(cycle, row) for cycle, row in bench.writes if base <= row < base + ROWS]
    assert len(queries) == 2 * ROWS
    assert all(cycle > first_use[row - lanes] for cycle, row in queries)
