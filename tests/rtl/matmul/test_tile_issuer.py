"""Tile issuer: the reordered schedule against golden, loop order, pacing, ring marks."""

import itertools
import random
from typing import Any

import pytest
from amaranth.hdl import Shape
from amaranth.sim import Simulator

from golden.attention import reordered_schedule, schedule_steps
from hwgen.rtl.matmul.ops import OpKind, op_layout
from hwgen.rtl.matmul.tile_issuer import RingReader, TileIssuer, WaitingRows
from hwgen.spec.isa import Destination
from tests.rtl.arches import small_arch

MAX_CYCLES = 6_000
FINISH = ("pc", "destination", "counter", "dst_base", "dst_stride", "mult", "shift", "bias", "mult2", "shift2", "zero")
FINISH += ("slot", "keys", "experts", "top_k", "renormalise", "finish_count")  # of an op, for the post-processor


class Bench:
    """Runs ops through a TileIssuer whose loader and rings always have what it asks for; records what it does."""

    def __init__(self, lanes: int, ops: list[dict[str, int]]) -> None:
        self.arch = small_arch(lanes, 8, 8, max_tokens=128)
        self.dut = TileIssuer(self.arch)
        self.ops = ops
        self.chunks: list[dict[str, int]] = []
        self.tags: list[dict[str, Any]] = []
        self.steps: list[int] = []
        self.key_reads = 0
        self.cycles = 0
        self.releases = self.param_releases = 0

    def run(self, *, weights: int = 32767) -> "Bench":
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        self._weights = weights
        simulator.add_testbench(self._bench)
        simulator.run()
        return self

    async def _bench(self, ctx: Any) -> None:
        dut, lanes = self.dut, self.arch.token_lanes
        ctx.set(dut.gate_space, 1)
        ctx.set(dut.result_space, 1)
        waiting = list(self.ops)
        slots = 0  # row slots the loader model has filled: every row knows its own number in its op
        base = 0
        queue: list[tuple[int, int]] = []
        for op in self.ops:
            padded = -(-op["rows"] // lanes) * lanes
            queue += [(base + row, row) for row in range(padded)]
            base += padded
        for _ in range(MAX_CYCLES):
            ctx.set(dut.i.valid, bool(waiting))
            if waiting:
                for name, value in waiting[0].items():
                    ctx.set(getattr(dut.i.payload, name), value)
            load = bool(queue) and queue[0][0] - ctx.get(dut.released) < 2 * lanes
            ctx.set(dut.load, load)
            ctx.set(dut.weights_arrived, min(self._weights, self.releases + self.arch.ring_words))
            ctx.set(dut.params_arrived, self.param_releases + self.arch.param_entries)
            self._record(ctx)
            taken = ctx.get(dut.i.ready) and bool(waiting)
            if ctx.get(dut.idle):
                break
            self.cycles += 1
            await ctx.tick()
            if load:
                slot, row = queue.pop(0)
                ctx.set(dut.info[slot // lanes % 2][slot % lanes].token, row)
                slots += 1
            if taken:
                waiting.pop(0)
        assert ctx.get(dut.idle), "the issuer did not finish"
        assert ctx.get(dut.released) == ctx.get(dut.entered) == slots

    def _record(self, ctx: Any) -> None:
        dut = self.dut
        self.releases += ctx.get(dut.weight_release)
        self.param_releases += ctx.get(dut.params_release) + (ctx.get(dut.tag_valid) and ctx.get(dut.tag.param_release))
        if ctx.get(dut.step):
            self.steps.append(self.cycles)
            self.key_reads += ctx.get(dut.key_read)
        if ctx.get(dut.valid):
            names = ("first", "last", "word", "sub", "slots", "weight_address", "key_address", "value_address")
            names += ("b_int4", "b_high")
            self.chunks.append({"cycle": self.cycles, **{name: ctx.get(getattr(dut, name)) for name in names}})
        if ctx.get(dut.tag_valid):
            tag = dut.tag
            lanes = [
                {
                    name: ctx.get(getattr(tag.lanes[lane], name))
                    for name in ("valid", "row", "key_tile", "first_key", "last_key")
                }
                for lane in range(self.arch.token_lanes)
            ]
            names = ("out_tile", "first_tile", "last_tile", "param", "param_release", "finish", *FINISH)
            fields = {name: ctx.get(getattr(tag, name)) for name in names}
            self.tags.append({**fields, "cycle": self.cycles, "lanes": lanes})


def test_what_finishes_a_row_travels_with_its_tile() -> None:
    """Every field of an op that the issuer itself does not need, signs included."""
    rng, layout = random.Random(8), op_layout()
    ops = [
        {"kind": int(OpKind.LINEAR), "rows": 3, "out_tiles": 2, "in_chunks": 2}
        | {name: rng.getrandbits(Shape.cast(layout.members[name]).width - 1) for name in FINISH}
        for _ in range(3)
    ]
    ops[1] |= {"zero": -127, "bias": -(2**31), "destination": int(Destination.HIDDEN)}
    bench = Bench(2, ops).run()
    assert len(bench.tags) == 3 * 2 * 2
    for n, tag in enumerate(bench.tags):
        op = ops[n // 4]
        assert {name: tag[name] for name in FINISH} == {name: op[name] for name in FINISH}


def _scores(queries: int, tiles: int, chunks: int = 1) -> dict[str, int]:
    return {
        "kind": int(OpKind.SCORES),
        "rows": queries,
        "out_tiles": tiles,
        "in_chunks": chunks,
        "destination": int(Destination.SCORE),
        "b_stride": 1,
    }


def _linear(rows: int, tiles: int, chunks: int, **more: int) -> dict[str, int]:
    return {"kind": int(OpKind.LINEAR), "rows": rows, "out_tiles": tiles, "in_chunks": chunks, **more}


def _visits(bench: Bench) -> list[tuple[int, ...]]:
    """(lane, query, key tile) in the order in which rows leave the array."""
    return [
        (lane, row["row"], row["key_tile"])
        for tag in bench.tags
        for lane, row in enumerate(tag["lanes"])
        if row["valid"]
    ]


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 7, 16])
@pytest.mark.parametrize(("queries", "tiles"), [(2, 2), (5, 3), (9, 9), (16, 17), (23, 5), (33, 1)])
def test_reordered_schedule(lanes: int, queries: int, tiles: int) -> None:
    """Every (query, key tile) once, in the golden order; queries complete in ascending order; steps by formula."""
    bench = Bench(lanes, [_scores(queries, tiles)]).run()
    visits = _visits(bench)
    assert len(visits) == queries * tiles
    assert sorted((query, key) for _, query, key in visits) == [(q, k) for q in range(queries) for k in range(tiles)]
    golden = [visit for step in reordered_schedule(queries, lanes, tiles) for visit in step.visits]
    assert visits == [tuple(visit) for visit in golden]
    rows = [row for tag in bench.tags for row in tag["lanes"] if row["valid"]]
    assert [row["row"] for row in rows if row["last_key"]] == list(range(queries))
    firsts = [row["row"] for row in rows if row["first_key"]]
    assert sorted(firsts) == list(range(queries))
    assert len(bench.steps) == schedule_steps(queries, lanes, tiles)
    assert bench.key_reads <= len(bench.steps)


def test_first_key_comes_first() -> None:
    """For every query the row flagged first_key precedes, and last_key ends, all its rows."""
    bench = Bench(4, [_scores(13, 3), _scores(6, 6)]).run()
    rows = [row for tag in bench.tags for row in tag["lanes"] if row["valid"]]
    for part, queries, tiles in ((rows[: 13 * 3], 13, 3), (rows[13 * 3 :], 6, 6)):
        assert len(part) == queries * tiles
        for query in range(queries):
            own = [row for row in part if row["row"] == query]
            assert [row["first_key"] for row in own] == [1] + [0] * (tiles - 1)
            assert [row["last_key"] for row in own] == [0] * (tiles - 1) + [1]


@pytest.mark.parametrize(("lanes", "chunks"), [(1, 1), (2, 3), (4, 2), (4, 6)])
def test_tile_cycles(lanes: int, chunks: int) -> None:
    """A tile takes max(chunks, lanes) cycles and no cycle is lost between tiles or ops."""
    ops = [_linear(2 * lanes, 3, chunks), _linear(lanes, 2, chunks), _scores(3 * lanes, 5, chunks)]
    bench = Bench(lanes, ops).run()
    interval = max(chunks, lanes)
    ends = [tag["cycle"] for tag in bench.tags]
    steps = [5] * 3 if lanes <= 5 else [lanes] * 3
    assert len(ends) == 2 * 3 + 2 + sum(steps) + lanes - 1
    assert all(b - a == interval for a, b in itertools.pairwise(ends))


def test_linear_loop_order_and_ring() -> None:
    """Tile of rows, output tile, chunk; weights re-read for every tile of rows and released in the last."""
    lanes, tiles, chunks, rows = 2, 3, 4, 5
    bench = Bench(lanes, [_linear(rows, tiles, chunks), _linear(2, 1, chunks)]).run()
    addresses = [chunk["weight_address"] for chunk in bench.chunks]
    assert addresses == list(range(tiles * chunks)) * 3 + list(range(tiles * chunks, tiles * chunks + chunks))
    assert bench.releases == tiles * chunks + chunks
    valid = [[lane["valid"] for lane in tag["lanes"]] for tag in bench.tags]
    assert valid == [[1, 1]] * 6 + [[1, 0]] * 3 + [[1, 1]]
    assert [tag["out_tile"] for tag in bench.tags] == [0, 1, 2] * 3 + [0]
    assert [tag["param"] for tag in bench.tags] == [0, 1, 2] * 3 + [3]
    assert [tag["param_release"] for tag in bench.tags] == [0] * 6 + [1] * 4
    assert [tag["first_tile"] for tag in bench.tags] == [1] + [0] * 8 + [1]


@pytest.mark.parametrize("chunks", [1, 2, 3, 4, 5])
def test_two_chunks_share_a_word_of_four_bit_weights(chunks: int) -> None:
    """Even chunks low, odd ones high; an output tile begins with a new word, of which each is released once."""
    lanes, tiles, rows = 2, 3, 5
    ops = [_linear(rows, tiles, chunks, int4=1), _linear(2, 1, 2, int4=0), _linear(2, 2, chunks, int4=1)]
    bench = Bench(lanes, ops).run()
    words = (chunks + 1) // 2
    pairs = [(tile, chunk) for tile in range(tiles) for chunk in range(chunks)]
    first = [(words * tile + chunk // 2, 1, chunk % 2) for tile, chunk in pairs]
    plain = [(words * tiles + chunk, 0, 0) for chunk in range(2)]
    third = [(words * tiles + 2 + place, *nibble) for place, *nibble in first[: 2 * chunks]]
    found = [(chunk["weight_address"], chunk["b_int4"], chunk["b_high"]) for chunk in bench.chunks]
    assert found == first * 3 + plain + third
    assert bench.releases == words * tiles + 2 + words * 2


def test_key_and_value_addresses() -> None:
    """Keys: the head's words in the row of the step's tile. Values: the output tile's word in the row of the chunk."""
    scores = {**_scores(5, 4, chunks=2), "b_offset": 3, "b_stride": 6}
    bench = Bench(2, [scores]).run()
    tiles = [next(lane["key_tile"] for lane in tag["lanes"] if lane["valid"]) for tag in bench.tags]
    assert set(tiles) == {0, 1, 2, 3}
    want = [3 + 6 * tile + word for tile in tiles for word in range(2)]
    assert [chunk["key_address"] for chunk in bench.chunks] == want
    context = {"kind": int(OpKind.CONTEXT), "rows": 3, "out_tiles": 3, "in_chunks": 4, "b_offset": 7, "b_stride": 5}
    bench = Bench(2, [context]).run()
    want = [7 + 5 * chunk + tile for _ in range(2) for tile in range(3) for chunk in range(4)]
    assert [chunk["value_address"] for chunk in bench.chunks] == want


def test_heads_follow_one_another() -> None:
    """Every op begins at the words of its own head."""
    heads = [{**_scores(3, 2, chunks=2), "b_offset": 2 * head, "b_stride": 6} for head in range(3)]
    bench = Bench(2, heads).run()
    found = [chunk["key_address"] for chunk in bench.chunks]
    part = len(found) // 3
    assert [found[i] - found[i % part] for i in range(3 * part)] == [2 * (i // part) for i in range(3 * part)]


def test_skip_waits_for_its_words() -> None:
    """Words that pass by must have come, whatever the step before needed, and also when there was none."""
    skip = {"kind": int(OpKind.SKIP), "rows": 0, "out_tiles": 1, "in_chunks": 4}
    for before in ([], [_linear(2, 1, 2)], [{**skip, "in_chunks": 2}]):
        words = 4 + (2 if before else 0)
        assert Bench(2, [*before, skip]).run(weights=words).releases == words
        with pytest.raises(AssertionError, match="did not finish"):
            Bench(2, [*before, skip]).run(weights=words - 1)


def test_skip_releases_the_words() -> None:
    """An expert without tokens gives back its words, and the next op starts behind them."""
    skip = {"kind": int(OpKind.SKIP), "rows": 0, "out_tiles": 3, "in_chunks": 4}
    bench = Bench(2, [skip, _linear(2, 1, 2)]).run()
    assert [chunk["weight_address"] for chunk in bench.chunks] == [12, 13]
    assert bench.releases == 12 + 2
    assert bench.tags[0]["param"] == 3


@pytest.mark.parametrize("chunks", [4, 5])
def test_skip_releases_words_of_four_bit_weights(chunks: int) -> None:
    """Of every output tile half the words, or one more than half."""
    skip = {"kind": int(OpKind.SKIP), "rows": 0, "out_tiles": 3, "in_chunks": chunks, "int4": 1}
    bench = Bench(2, [skip, _linear(2, 1, 2, int4=0)]).run()
    words = 3 * ((chunks + 1) // 2)
    assert [chunk["weight_address"] for chunk in bench.chunks] == [words, words + 1]
    assert bench.releases == words + 2


def test_waits_for_weights() -> None:
    """A chunk whose weights have not arrived is not issued."""
    with pytest.raises(AssertionError, match="did not finish"):
        Bench(2, [_linear(2, 1, 4)]).run(weights=3)


def test_ring_reader_wraps() -> None:
    """Addresses wrap at a depth that is no power of two, and come back to the mark."""
    dut = RingReader(5)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.advance, 1)
        ctx.set(dut.arrived, 100)
        ctx.set(dut.step, 1)
        seen: list[int] = []
        for _ in range(2):
            for place in range(4):
                ctx.set(dut.rewind, place == 3)
                seen.append(ctx.get(dut.address))
                await ctx.tick()
        ctx.set(dut.rewind, 0)
        ctx.set(dut.keep, 1)
        for _ in range(7):
            seen.append(ctx.get(dut.address))
            await ctx.tick()
        assert seen == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4, 0, 1]

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("lanes", [1, 2, 3, 6, 8])
def test_rows_that_wait_a_cycle_later(lanes: int) -> None:
    """Every number of rows, as many as can begin."""
    dut, checked = WaitingRows(lanes), 0

    async def bench(ctx: Any) -> None:
        nonlocal checked
        for waiting, load, one in itertools.product(range(2 * lanes + 1), (0, 1), (0, 1)):
            for name, value in (("waiting", waiting), ("load", load), ("one", one)):
                ctx.set(getattr(dut, name), value)
            await ctx.delay(1e-9)
            for out, rows in ((dut.stayed, waiting + load), (dut.begun, waiting + load - (1 if one else lanes))):
                if 0 <= rows <= 2 * lanes:
                    found = ctx.get(out)
                    assert (found.rows, found.some, found.all) == (rows, rows >= 1, rows >= lanes)
                    checked += 1

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()
    assert checked > 4 * (2 * lanes + 1)
