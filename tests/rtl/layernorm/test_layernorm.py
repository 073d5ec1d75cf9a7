"""LayerNorm unit: bit-exact rows, exact cycles, row-by-row waiting, the parameter ring and its faults."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.layernorm import affine, layernorm
from hwgen.rtl.layernorm.layernorm import LayerNorm
from hwgen.spec.encoding import encode
from hwgen.spec.isa import Counter, ErrorCode, Opcode
from hwgen.spec.tables import default_tables
from tests.rtl.side_arch import side_arch
from tests.rtl.table_load import load_tables

RSQRT = default_tables()["rsqrt"]
DEFAULT_MAX_CYCLES = 3000
ELSEWHERE = 0x1234_5678_9ABC_DEF0_1357_9BDF  # what lies where the post-processor reads


def pack(values, bits: int) -> int:
    return sum((int(v) & (1 << bits) - 1) << bits * i for i, v in enumerate(values))


def unpack(word: int, bits: int, count: int) -> list[int]:
    values = [word >> bits * i & (1 << bits) - 1 for i in range(count)]
    return [v - (v >> bits - 1 << bits) for v in values]


@dataclass
class Job:
    """One instruction with its data."""

    x: np.ndarray  # [rows, channels]
    gain: np.ndarray
    offset: np.ndarray
    shift: int
    pc: int = 0
    wait_base: int | None = None  # None: counter 0
    wait_b: tuple[Counter, int] = (Counter.NONE, 0)  # counter and base
    stretch: int = 0  # extra words of stride
    src_base: int = 0
    dst_base: int = 0
    plain: bool = False

    @property
    def channels(self) -> int:
        return self.x.shape[1]

    def words(self, lanes: int) -> int:
        return -(-self.channels // lanes)

    def instruction(self, lanes: int) -> int:
        words = self.words(lanes)
        wait = {} if self.wait_base is None else {"wait_a": int(Counter.RESIDUAL), "wait_a_base": self.wait_base}
        return encode(
            Opcode.LAYERNORM, rows=len(self.x), channels=self.channels, words=words, src_base=self.src_base,
            src_stride=words + self.stretch, dst_base=self.dst_base, dst_stride=words + 1, shift=self.shift,
            wait_b=int(self.wait_b[0]), wait_b_base=self.wait_b[1], plain=self.plain, **wait,
        )  # fmt: skip

    def want(self) -> np.ndarray:
        parts = self.gain, self.offset, self.shift
        return affine(self.x, *parts) if self.plain else layernorm(RSQRT, self.x, *parts)

    def padded(self, lanes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        room = self.words(lanes) * lanes - self.channels
        return tuple(np.pad(v, [(0, 0)] * (v.ndim - 1) + [(0, room)]) for v in (self.x, self.gain, self.offset))


@dataclass
class Bench:
    """The unit between a residual buffer, a parameter ring and a norm buffer."""

    arch: object
    jobs: list[Job]
    ready_at: list[int] = field(default_factory=list)  # cycle at which row r of the awaited counter is counted
    counts: Callable[[int], dict[Counter, int]] = lambda cycle: {}  # other counters in a cycle
    offered_at: list[int] = field(default_factory=list)  # cycle before which instruction i does not come
    taken: Callable[[int], bool] = lambda cycle: False  # another address is at the one copy of the residual
    params_at: int = 0  # cycle at which the parameters of all jobs are there
    words: list[int] | None = None  # raw instructions instead of the jobs'
    max_cycles: int = DEFAULT_MAX_CYCLES

    def run(self) -> "Bench":
        lanes = self.arch.output_lanes
        self.unit = unit = LayerNorm(self.arch)
        self.residual, ring = {}, []
        for job in self.jobs:
            x, gain, offset = job.padded(lanes)
            words = job.words(lanes)
            for r, row in enumerate(x):
                for w in range(words):
                    address = job.src_base + r * (words + job.stretch) + w
                    self.residual[address] = pack(row[w * lanes : (w + 1) * lanes], 16)
            for w in range(words):
                part = slice(w * lanes, (w + 1) * lanes)
                ring.append(pack([(int(o) & 0xFFFFFFFF) | (int(g) & 0xFFFF) << 32 for o, g in
                                  zip(offset[part], gain[part], strict=True)], 64))  # fmt: skip
        self.written, self.trace, self.pulses, self.reads = {}, [], [], []
        self.started, self.finished, self.released, self.faults = [], [], 0, []
        instructions = self.words or [job.instruction(lanes) for job in self.jobs]

        async def bench(ctx):
            await load_tables(ctx, unit.table, ("rsqrt",))
            pipes = {"residual": [0, 0], "params": [0, 0]}
            index = 0
            for cycle in range(self.max_cycles):
                here = index < len(instructions) and cycle >= (self.offered_at or [0] * len(instructions))[index]
                ctx.set(unit.i.valid, here)
                if here:
                    ctx.set(unit.i.payload.word, instructions[index])
                    ctx.set(unit.i.payload.pc, 100 + index)
                base = next((j.wait_base for j in self.jobs if j.wait_base is not None), 0)
                ctx.set(unit.counters[Counter.RESIDUAL], (base + sum(at <= cycle for at in self.ready_at)) & 0xFFFF)
                for counter, value in self.counts(cycle).items():
                    ctx.set(unit.counters[counter], value)
                arrived = len(ring) if cycle >= self.params_at else 0
                ctx.set(unit.arrived, arrived)
                ctx.set(unit.residual.data, pipes["residual"][1])
                ctx.set(unit.params.data, pipes["params"][1])
                if self.arch.residual_copies == 1:
                    ctx.set(unit.residual_taken, self.taken(cycle))
                self._observe(ctx, cycle)
                address = ctx.get(unit.params.address)
                places = [p for p in range(self.released, arrived) if p % self.arch.norm_entries == address]
                word = ELSEWHERE if self.taken(cycle) else self.residual.get(ctx.get(unit.residual.address), 0)
                pipes["residual"] = [word, pipes["residual"][0]]
                pipes["params"] = [ring[places[0]] if places else 0, pipes["params"][0]]
                self.released += ctx.get(unit.release)
                index += ctx.get(unit.i.ready)
                await ctx.tick()
                if index == len(instructions) and cycle > self.finished[-1] + 20:
                    assert ctx.get(unit.idle)
                    return

        simulator = Simulator(unit)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
        return self

    def _observe(self, ctx, cycle: int) -> None:
        unit = self.unit
        if ctx.get(unit.progress.valid):
            assert (ctx.get(unit.progress.counter), ctx.get(unit.progress.count)) == (Counter.NORM, 1)
            self.pulses.append((cycle, len(self.trace)))
        if ctx.get(unit.write.enable):
            self.written[ctx.get(unit.write.address)] = ctx.get(unit.write.data)
            assert ctx.get(unit.trace.valid)
            names = ("pc", "row", "word", "data")
            self.trace.append(tuple(ctx.get(getattr(unit.trace, name)) for name in names))
        if ctx.get(unit.fault.valid):
            self.faults.append((ctx.get(unit.fault.code), ctx.get(unit.fault.pc)))
        if ctx.get(unit.started):
            self.started.append((cycle, ctx.get(unit.pc)))
        if ctx.get(unit.finished):
            self.finished.append(cycle)

    def check(self) -> int:
        """Every value of every job; returns how many were compared."""
        lanes, compared, trace = self.arch.output_lanes, 0, iter(self.trace)
        for index, job in enumerate(self.jobs):
            words, want = job.words(lanes), job.want()
            for r in range(len(job.x)):
                got: list[int] = []
                for w in range(words):
                    address = job.dst_base + r * (words + 1) + w
                    assert next(trace) == (100 + index, r, w, self.written[address])
                    got += unpack(self.written[address], 8, lanes)
                assert got[: job.channels] == want[r].tolist(), (index, r)
                assert not any(got[job.channels :])
                compared += job.channels
        assert next(trace, None) is None
        assert not self.faults
        assert self.released == sum(job.words(lanes) for job in self.jobs)
        return compared


def corner_rows(channels: int, rng: np.random.Generator) -> np.ndarray:
    alternating = np.where(np.arange(channels) % 2, 32767, -32768)
    one_high = np.where(np.arange(channels), -32768, 32767)
    rows = [
        np.zeros(channels), np.full(channels, -32768), np.full(channels, 32767), alternating, one_high,
        np.where(np.arange(channels) == 1, 1, 0), np.full(channels, 1000) + (np.arange(channels) == 2),
        rng.integers(-3, 4, channels), rng.integers(-32768, 32768, channels), rng.normal(200, 900, channels),
    ]  # fmt: skip
    return np.stack(rows).astype(np.int64)


def job_of(channels: int, rng: np.random.Generator, rows: np.ndarray | None = None, shift: int = 14, **more) -> Job:
    x = corner_rows(channels, rng) if rows is None else rows
    gain = rng.integers(-900, 900, channels)
    gain[:2] = (-32768, 32767)[:channels]
    offset = rng.integers(-(2**19), 2**19, channels)
    offset[:2] = (2**31 - 1, -(2**31))[:channels]
    return Job(x=x, gain=gain, offset=offset, shift=shift, **more)


@pytest.mark.parametrize(("lanes", "channels"), [(8, 64), (8, 20), (16, 37), (8, 1)])
def test_rows_equal_golden_in_exact_cycles(lanes: int, channels: int):
    arch = side_arch(output_lanes=lanes)
    rng = np.random.default_rng(channels)
    bench = Bench(arch, [job_of(channels, rng, src_base=3, dst_base=5)]).run()
    assert bench.check() == 10 * channels
    words = bench.jobs[0].words(lanes)
    start = bench.started[0][0]
    assert bench.finished == [start + bench.unit.cycles(10, words)]
    assert bench.unit.interval(words) == words
    want = [(start + bench.unit.latency(words) + r * words, (r + 1) * words) for r in range(10)]
    assert bench.pulses == want


@pytest.mark.parametrize(("lanes", "channels"), [(8, 64), (16, 37), (8, 1)])
def test_plain_rows_equal_golden_in_the_same_cycles(lanes: int, channels: int):
    """Between instructions that normalise, so that nothing of theirs is left; every value of int16 has its own code."""
    rng = np.random.default_rng(channels)
    x = np.concatenate([corner_rows(channels, rng), np.arange(-32768, 32767, 65535 // channels)[None, :channels]])
    usual = job_of(channels, rng)
    jobs = [
        usual,
        replace(job_of(channels, rng, x, shift=18), plain=True, src_base=100, dst_base=120),
        replace(job_of(channels, rng, x, shift=0), plain=True, src_base=100, dst_base=240),
        replace(usual, dst_base=360),
    ]
    jobs[2].gain[:], jobs[2].offset[:] = 1, 0  # the values themselves
    words = jobs[0].words(lanes)
    rooms = {"residual_bytes": 2 * lanes * 512, "norm_bytes": lanes * 512, "norm_entries": 4 * words}
    bench = Bench(side_arch(output_lanes=lanes, **rooms), jobs).run()
    assert bench.check() == (10 + 11 + 11 + 10) * channels
    starts = [cycle for cycle, _ in bench.started]
    counts = [len(job.x) for job in jobs]
    assert bench.finished == [
        start + bench.unit.cycles(rows, words) for start, rows in zip(starts, counts, strict=True)
    ]
    assert len(np.unique(jobs[1].want())) >= min(channels, 20)


TAKEN: dict[str, Callable[[int], bool]] = {
    "never": lambda cycle: False,
    "even": lambda cycle: cycle % 2 == 0,
    "odd": lambda cycle: cycle % 2 == 1,
    "nearly-always": lambda cycle: cycle % 13 < 12,
    "once-long": lambda cycle: 4 <= cycle < 60,
    "at-times": lambda cycle: cycle % 7 in (0, 3, 4),
}


@pytest.mark.parametrize("when", TAKEN)
@pytest.mark.parametrize("channels", [20, 1])
def test_a_copy_that_is_taken_costs_its_cycles(channels: int, when: str):
    """Every value is right, and the end comes a cycle later for each cycle of the fetch in which the copy is taken."""
    rng, taken = np.random.default_rng(channels), TAKEN[when]
    bench = Bench(side_arch(residual_copies=1), [job_of(channels, rng, src_base=3, dst_base=5)], taken=taken).run()
    assert bench.check() == 10 * channels
    words, start = bench.jobs[0].words(8), bench.started[0][0]
    free = (cycle for cycle in range(start + 1, DEFAULT_MAX_CYCLES) if not taken(cycle))
    last = list(islice(free, 10 * words))[-1]
    lost = last - (start + 10 * words)
    assert bench.finished == [start + bench.unit.cycles(10, words) + lost]


def test_consecutive_instructions_wrap_the_parameter_ring():
    arch = side_arch(norm_entries=11)
    rng = np.random.default_rng(5)
    jobs = []
    # words 5 + 5 + 1 end exactly with the ring; 8 + 5 pass its end within a row
    for channels, shift, base in ((33, 0, 0), (40, 13, 40), (8, 13, 80), (64, 13, 100), (40, 13, 140), (1, 47, 200)):
        rows = rng.integers(-2000, 2000, (3, channels))
        jobs.append(job_of(channels, rng, rows, shift=shift, src_base=base, dst_base=base, stretch=2))
    bench = Bench(arch, jobs)
    bench.run()
    assert bench.check() == 3 * (33 + 40 + 8 + 64 + 40 + 1)
    assert [pc for _, pc in bench.started] == [100, 101, 102, 103, 104, 105]


def test_rows_wait_for_their_counter_and_for_parameters():
    arch = side_arch()
    rng = np.random.default_rng(7)
    ready = np.cumsum(rng.integers(0, 60, 10)).tolist()
    bench = Bench(arch, [job_of(40, rng, wait_base=65531)], ready_at=ready).run()
    assert bench.check() == 400
    words = 5
    for (cycle, _), at in zip(bench.pulses, ready, strict=True):
        assert cycle >= at + bench.unit.latency(words)
    assert bench.pulses[-1][0] <= ready[-1] + bench.unit.latency(words) + 10 * words
    late = Bench(arch, [job_of(40, rng)], params_at=700).run()
    assert late.check() == 400
    assert late.finished[0] > 700


def _starts(waits: list[tuple[Counter, int]], **more) -> tuple[list[int], list[int]]:
    """Starts and ends of instructions of one short row, all values right."""
    one = job_of(8, np.random.default_rng(3), np.arange(8).reshape(1, 8))
    bench = Bench(
        side_arch(), [replace(one, wait_b=wait, dst_base=3 * i) for i, wait in enumerate(waits)], **more
    ).run()
    assert bench.check() == 8 * len(waits)
    cycles = bench.unit.cycles(1, 1)
    starts = [cycle for cycle, _ in bench.started]
    assert bench.finished == [start + cycles for start in starts]
    return starts, bench.finished


def test_instructions_that_wait_for_nothing_follow_each_other():
    """Counter 0 costs no cycle, whatever the base."""
    starts, ends = _starts([(Counter.NONE, 0), (Counter.NONE, 5), (Counter.NONE, 65535)])
    assert starts == [0, ends[0] + 1, ends[1] + 1]


def test_a_wait_that_is_over_costs_a_cycle():
    starts, ends = _starts([(Counter.QUERY, 3), (Counter.QUERY, 2), (Counter.NONE, 0), (Counter.KEY, 0)],
                           counts=lambda cycle: {Counter.QUERY: 3})  # fmt: skip
    cost = LayerNorm.wait_cycles
    assert cost == 1
    assert starts == [cost, ends[0] + 1 + cost, ends[1] + 1, ends[2] + 1 + cost]


@pytest.mark.parametrize("at", [1, 2, 3, 40])
@pytest.mark.parametrize(("base", "step"), [(7, 1), (7, 3), (0, 1), (65535, 1), (2, 4), (32768, 1)])
def test_an_instruction_starts_when_its_count_is_reached(base: int, step: int, at: int):
    """The cycle after the one in which the counter is there, passes its base, or wraps past it."""
    starts, _ = _starts(
        [(Counter.CONTEXT, base)],
        counts=lambda cycle: {Counter.CONTEXT: (base - 1 if cycle < at else base - 1 + step) & 0xFFFF},
    )
    assert starts == [at + 1]


def test_counts_are_compared_modulo_two_to_the_sixteen():
    """A base up to 2^15 ahead is not reached yet, one behind is."""
    behind, ahead = (Counter.QUERY, 65000), (Counter.KEY, 30000)

    def counts(cycle: int) -> dict[Counter, int]:
        return {Counter.QUERY: 65000 - 65536 + 32767, Counter.KEY: (30000 - 32768) & 0xFFFF if cycle < 90 else 30000}

    starts, _ = _starts([behind, ahead], counts=counts)
    assert starts == [1, 91]


@pytest.mark.parametrize("offered", [[], [0, 80]])
def test_a_wait_is_that_of_its_own_instruction(offered: list[int]):
    """The next instruction waits for itself, right behind one whose wait is over, or after nothing was there."""
    starts, ends = _starts(
        [(Counter.QUERY, 1), (Counter.KEY, 1)],
        counts=lambda cycle: {Counter.QUERY: 1, Counter.KEY: int(cycle >= 120)},
        offered_at=offered,
    )
    assert ends[0] < 80
    assert starts == [1, 121]


def test_a_wait_is_over_only_when_its_instruction_is_there():
    """Its count was reached long ago, but nobody had asked: it costs its cycle behind a gap, too."""
    starts, ends = _starts([(Counter.QUERY, 1)] * 2, counts=lambda cycle: {Counter.QUERY: 1}, offered_at=[0, 80])
    assert ends[0] < 80
    assert starts == [1, 81]


def test_long_rows_keep_the_interval():
    arch = side_arch(max_channels=256, residual_bytes=16384, norm_bytes=16384, norm_entries=32)
    rng = np.random.default_rng(9)
    bench = Bench(arch, [job_of(256, rng, rng.integers(-9000, 9000, (5, 256)))]).run()
    assert bench.check() == 5 * 256
    assert bench.finished[0] - bench.started[0][0] == bench.unit.cycles(5, 32)


@pytest.mark.parametrize(
    "change", [{"src_base": 252}, {"dst_base": 250}, {"words": 0}, {"words": 9}, {"src_stride": 1023}]
)
def test_faults(change: dict[str, int]):
    values = {"rows": 3, "channels": 16, "words": 2, "src_stride": 2, "dst_stride": 3, "shift": 3} | change
    job = job_of(64, np.random.default_rng(1), np.ones((3, 64), dtype=np.int64))
    arch = side_arch(norm_bytes=250 * 8)
    bench = Bench(arch, [job], words=[encode(Opcode.LAYERNORM, **values)], max_cycles=200).run()
    assert bench.faults[0] == (ErrorCode.OUT_OF_BOUNDS, 100)
    assert all(address < arch.norm_words for address in bench.written)
