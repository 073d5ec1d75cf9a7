"""Observer of attention behind the softmax statistics: importances equal golden; rows wait for them to be counted."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from golden.select import importance
from hwgen.rtl.attention.softmax import SoftmaxStatistics
from hwgen.rtl.select.attention_observer import AttentionObserver
from hwgen.spec.choices import READ_LATENCY, importance_lanes
from hwgen.spec.isa import Counter
from hwgen.spec.numerics import IMPORTANCE_BITS
from hwgen.spec.tables import default_tables
from tests.rtl.side_arch import side_arch
from tests.rtl.table_load import load_tables

TABLES = default_tables()
ROOMS = {"key_bytes": 65536, "value_bytes": 65536, "ring_bytes": 65536}


class Both(wiring.Component):
    """Softmax statistics and observer, wired as in the machine."""

    def __init__(self, arch):
        self.softmax, self.observer = SoftmaxStatistics(arch), AttentionObserver(arch)
        super().__init__({})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.softmax, m.submodules.observer = softmax, observer = self.softmax, self.observer
        wiring.connect(m, softmax.reciprocal, observer.row)
        m.d.comb += softmax.observed.eq(observer.observed)
        for name in score_members(softmax):
            m.d.comb += getattr(observer.i, name).eq(getattr(softmax.i, name))
        m.d.comb += [
            getattr(observer.table, n).eq(getattr(softmax.table, n)) for n in ("enable", "table", "address", "data")
        ]
        return m


def score_members(softmax: SoftmaxStatistics) -> list[str]:
    return [name for name in softmax.i.signature.members if name != "scores"] + ["scores"]


@dataclass
class Head:
    """One head's scores: row 0 is observed; other rows of the same instruction come with it."""

    scores: np.ndarray  # [rows, keys]
    first: bool
    gap: int = 0  # cycles in front of it

    @property
    def keys(self) -> int:
        return self.scores.shape[1]


@dataclass
class Run:
    """Sends heads as a program may: the third one when the first one's rows are counted."""

    arch: object
    heads: list[Head]
    seed: int = 0
    counts: list[int] = field(default_factory=list)  # cycle of each counted row
    lasts: list[int] = field(default_factory=list)  # cycle of the last word of each head's row 0
    reciprocals: list[int] = field(default_factory=list)
    observed: list[int] = field(default_factory=list)
    idle: list[bool] = field(default_factory=list)

    def words(self, rng: np.random.Generator) -> list[list[dict]]:
        """Words of every head: rows one after the other, tiles of a row in any order, as long as lanes allow."""
        lanes, made = self.arch.output_lanes, []
        for head in self.heads:
            words = []
            for r, row in enumerate(head.scores):
                tiles = rng.permutation(-(-head.keys // lanes))
                for n, tile in enumerate(tiles.tolist()):
                    part = row[tile * lanes : (tile + 1) * lanes].tolist()
                    words.append({
                        "row": r, "lane": r % self.arch.token_lanes, "first_key": n == 0, "slot": 0, "mult2": 7,
                        "last_key": n == len(tiles) - 1, "key_tile": tile, "keys": head.keys, "shift2": 9,
                        "observe": (1 if head.first else 2) if r == 0 else 0, "mask": (1 << len(part)) - 1,
                        "scores": part + [0] * (lanes - len(part)),
                    })  # fmt: skip
            made.append(words)
        return made

    def run(self) -> "Run":
        self.both = both = Both(self.arch)
        softmax, observer = both.softmax, both.observer
        rows = [len(head.scores) for head in self.heads]
        words = self.words(np.random.default_rng(self.seed))
        self.singles, self.stored = {}, {}

        async def drive(ctx):
            await load_tables(ctx, softmax.table, ("exp2", "reciprocal"))
            await load_tables(ctx, softmax.table, ("exp2", "reciprocal"))
            cycle, head, at, gap = 0, 0, 0, 0
            while len(self.observed) < len(self.heads) or len(self.counts) < sum(rows):
                may = head < len(self.heads) and len(self.counts) >= sum(rows[: max(0, head - 1)])
                gap = gap + 1 if may and at == 0 else gap
                sends = may and (at > 0 or gap > self.heads[head].gap)
                ctx.set(softmax.i.valid, sends)
                if sends:
                    for name, value in words[head][at].items():
                        if name == "scores":
                            for i, score in enumerate(value):
                                ctx.set(softmax.i.scores[i], score)
                        else:
                            ctx.set(getattr(softmax.i, name), int(value))
                    if words[head][at]["observe"] and words[head][at]["last_key"]:
                        self.lasts.append(cycle)
                    at += 1
                    if at == len(words[head]):
                        head, at, gap = head + 1, 0, 0
                self._watch(ctx, cycle)
                await ctx.tick()
                cycle += 1
                assert cycle < 20_000
            ctx.set(softmax.i.valid, 0)
            await ctx.tick()
            assert ctx.get(observer.idle)
            await self._read(ctx)

        simulator = Simulator(both)
        simulator.add_clock(1e-6)
        simulator.add_testbench(drive)
        simulator.run()
        return self

    def _watch(self, ctx, cycle: int) -> None:
        softmax, observer = self.both.softmax, self.both.observer
        self.idle.append(bool(ctx.get(observer.idle)))
        if ctx.get(softmax.reciprocal.valid):
            self.reciprocals.append(cycle)
        if ctx.get(observer.observed):
            self.observed.append(cycle)
        if ctx.get(softmax.progress.valid):
            assert ctx.get(softmax.progress.counter) == Counter.SCORE
            self.counts += [cycle] * ctx.get(softmax.progress.count)

    async def _read(self, ctx) -> None:
        """Every importance and every word, as SELECT and a STORE read them."""
        observer, lanes = self.both.observer, importance_lanes(self.arch)
        keys = self.heads[-1].keys
        assert ctx.get(observer.importance.keys) == keys
        self.single, self.searched, self.stored = [], [], []
        for position in range(keys):
            ctx.set(observer.importance.position, position)
            await ctx.tick().repeat(READ_LATENCY)
            self.single.append(ctx.get(observer.importance.importance))
        for searching, into, bits in ((1, self.searched, IMPORTANCE_BITS), (0, self.stored, 32)):
            ctx.set(observer.importance.searching, searching)
            for word in range(-(-keys // lanes)):
                ctx.set(observer.importance.word, word if searching else 0)
                ctx.set(observer.store.address, 0 if searching else word)
                await ctx.tick().repeat(READ_LATENCY)
                assert ctx.get(observer.store_taken) == searching
                value = ctx.get(observer.importance.words if searching else observer.store.data)
                into += [value >> bits * i & (1 << bits) - 1 for i in range(lanes)]

    def check(self) -> list[int]:
        """Importances of the last block of heads, padded words, counts and times; returns the importances."""
        begin = max(n for n, head in enumerate(self.heads) if head.first)
        rows = np.stack([head.scores[0] for head in self.heads[begin:]])
        want = importance(TABLES["exp2"], TABLES["reciprocal"], rows).tolist()
        assert self.single == want
        assert self.searched == self.stored == want + [0] * (len(self.searched) - len(want))
        assert len(self.observed) == len(self.reciprocals) == len(self.heads)
        before = -100
        for head, start, end in zip(self.heads, self.reciprocals, self.observed, strict=True):
            latency = self.both.observer.latency(head.keys)
            assert end == max(start + latency, before + latency + 1)
            before = end
        rows = [len(head.scores) for head in self.heads]
        assert len(self.counts) == sum(rows)
        for n, end in enumerate(
            self.observed
        ):  # no row is counted before those in front of it, nor an observed one early
            assert sum(cycle <= end for cycle in self.counts) <= sum(rows[:n])
        return want


def heads_of(rng: np.random.Generator, count: int, keys: int, rows: int = 1, gap: int = 0) -> list[Head]:
    made = []
    for n in range(count):
        drawn = rng.normal(rng.choice([-300, 0, 300]), rng.choice([5, 40, 200]), (rows, keys))
        made.append(Head(np.clip(np.rint(drawn), -512, 511).astype(int), n == 0, gap))
    return made


@pytest.mark.parametrize(
    ("lanes", "keys"), [((2, 8), 1), ((2, 8), 8), ((2, 8), 9), ((2, 8), 40), ((1, 16), 2), ((1, 16), 33), ((4, 32), 31)]
)
def test_importances_equal_golden(lanes: tuple[int, int], keys: int):
    """Two blocks of heads, the second with fewer keys: nothing of the first is left."""
    arch = side_arch(token_lanes=lanes[0], output_lanes=lanes[1], **ROOMS)
    rng = np.random.default_rng(keys)
    first = heads_of(rng, 3, 40, rows=2)
    found = Run(arch, [*first, *heads_of(rng, 3, keys, rows=3)], seed=keys).run().check()
    assert any(found)


@pytest.mark.parametrize(("keys", "gap"), [(1, 0), (1, 1), (2, 0), (2, 7), (3, 1), (40, 0), (40, 30)])
def test_rows_of_one_query_cannot_overtake(keys: int, gap: int):
    """The shortest SCORES there are, one query each, as close as a program may send them: two heads at a time."""
    rng = np.random.default_rng(gap)
    run = Run(side_arch(token_lanes=1, **ROOMS), heads_of(rng, 7, keys, gap=gap), seed=gap).run()
    run.check()
    under_way = [sum(last <= t for last in run.lasts) - sum(end < t for end in run.observed) for t in run.lasts]
    assert max(under_way) == (2 if gap < 5 else max(under_way))
    assert max(under_way) <= 2


@pytest.mark.parametrize("key", [2, 39])
def test_sixteen_heads_with_all_their_attention_in_one_key(key: int):
    """The top bit of one importance, and shifts of 34 for all others."""
    rows = np.full((1, 40), -512)
    rows[0, key] = 511
    found = Run(side_arch(), [Head(rows, n == 0) for n in range(16)]).run().check()
    assert found[key].bit_length() == IMPORTANCE_BITS
    assert sum(found) == found[key]


def test_rows_that_are_not_observed_leave_no_trace():
    """The observer is idle but from the first word of row 0 to its last importance, and says so a cycle late."""
    rng = np.random.default_rng(3)
    arch = side_arch()
    run = Run(arch, heads_of(rng, 1, 20, rows=5)).run()
    run.check()
    busy = [cycle for cycle, idle in enumerate(run.idle) if not idle]
    assert busy == list(range(run.lasts[0] - 1, run.observed[0] + 2))  # from the first of three words on
