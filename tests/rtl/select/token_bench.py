"""The token unit between importances, a residual buffer and a list memory, and what golden says of its programs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amaranth.sim import Simulator

from golden.select import fused_row, fused_weights, kept
from hwgen.rtl.select.token_unit import TokenUnit
from hwgen.spec.choices import importance_lanes
from hwgen.spec.encoding import encode
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.numerics import IMPORTANCE_BITS, importance_weight
from tests.rtl.side_arch import side_arch

ELSEWHERE = 0x1234_5678_9ABC_DEF0_1357_9BDF  # what lies where the post-processor reads
ROOMS = {"key_bytes": 65536, "value_bytes": 65536, "ring_bytes": 65536, "residual_bytes": 65536, "list_entries": 256}
FIRST_PC = 100


def list_arch(**changes: Any) -> Any:
    """A small machine with selections."""
    return side_arch(**ROOMS | changes)


def pack(row: np.ndarray) -> int:
    """A word of int16 values."""
    return sum((int(value) & 0xFFFF) << 16 * lane for lane, value in enumerate(row))


def unpack(word: int, lanes: int) -> np.ndarray:
    """Back."""
    values = np.array([word >> 16 * lane & 0xFFFF for lane in range(lanes)])
    return np.where(values >= 2**15, values - 2**16, values)


@dataclass
class Job:
    """One instruction; ``importance``: what the observer has when it runs."""

    opcode: Opcode
    fields: dict[str, int]
    importance: np.ndarray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))


def select(importance: np.ndarray, prefix: int, keep: int, **others: int) -> Job:
    """SELECT of a stream at word ``src_base``."""
    fields = {"rows": len(importance), "prefix": prefix, "keep": keep, "weight": importance_weight(3), **others}
    return Job(Opcode.SELECT, fields, importance)


def gather(rows: int, rows_in: int, words: int, **others: int) -> Job:
    """GATHER of rows that lie without gaps unless ``others`` say so."""
    fields = {"rows": rows, "rows_in": rows_in, "words": words, "src_stride": words, "dst_stride": words, **others}
    return Job(Opcode.GATHER, fields)


def scatter(rows: int, rows_out: int, words: int, **others: int) -> Job:
    """SCATTER likewise."""
    fields = {"rows": rows, "rows_out": rows_out, "words": words, "src_stride": words, "dst_stride": words, **others}
    return Job(Opcode.SCATTER, fields)


@dataclass
class Bench:
    """Runs jobs one after the other."""

    arch: Any
    jobs: list[Job]
    counts: Callable[[int], dict[Counter, int]] = lambda cycle: {}
    observing: Callable[[int], bool] = lambda cycle: False  # a row is under way in the observer
    taken: Callable[[int], bool] = lambda cycle: False  # the post-processor reads the residual
    keys: int | None = None  # that the observer reports, instead of the job's
    longest: int = 20_000

    def run(self) -> "Bench":
        """Until every instruction has ended; AssertionError when one does not."""
        self.unit = unit = TokenUnit(self.arch)
        lanes, words = self.arch.output_lanes, self.arch.residual_words
        self.residual = np.random.default_rng(3).integers(-32768, 32768, (words, lanes))
        self.before = self.residual.copy()
        self.lists: dict[int, int] = {}
        self.started: list[tuple[int, int]] = []
        self.finished: list[int] = []
        self.faults: list[tuple[int, int]] = []
        self.moved: list[tuple[int, int, int]] = []  # pc, row, word
        self.judged: list[tuple[int, int, int]] = []  # position, importance, kept

        async def bench(ctx: Any) -> None:
            pipes = {name: [0, 0] for name in ("words", "single", "list", "residual")}
            index = 0
            for cycle in range(self.longest):
                job = self.jobs[min(index, len(self.jobs) - 1)]
                self._offer(ctx, job, index)
                self._inputs(ctx, job, cycle, pipes)
                self._look(ctx, cycle)
                self._memories(ctx, job, cycle, pipes)
                index += ctx.get(unit.i.ready)
                await ctx.tick()
                if index == len(self.jobs) and cycle > self.finished[-1] + 20:
                    assert ctx.get(unit.idle)
                    return
            raise AssertionError("the unit hangs")

        simulator = Simulator(unit)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
        return self

    def _offer(self, ctx: Any, job: Job, index: int) -> None:
        here = index < len(self.jobs)
        ctx.set(self.unit.i.valid, here)
        if here:
            ctx.set(self.unit.i.payload.word, encode(job.opcode, **job.fields))
            ctx.set(self.unit.i.payload.pc, FIRST_PC + index)

    def _inputs(self, ctx: Any, job: Job, cycle: int, pipes: dict[str, list[int]]) -> None:
        unit = self.unit
        for counter, value in self.counts(cycle).items():
            ctx.set(unit.counters[counter], value)
        ctx.set(unit.importance.keys, len(job.importance) if self.keys is None else self.keys)
        ctx.set(unit.importance.idle, not self.observing(cycle))
        ctx.set(unit.importance.words, pipes["words"][1])
        ctx.set(unit.importance.importance, pipes["single"][1])
        ctx.set(unit.list_read.data, pipes["list"][1])
        ctx.set(unit.residual.data, pipes["residual"][1])
        if self.arch.residual_copies == 1:
            ctx.set(unit.residual_taken, self.taken(cycle))

    def _look(self, ctx: Any, cycle: int) -> None:
        unit, pc = self.unit, ctx.get(self.unit.pc)
        if ctx.get(unit.started):
            self.started.append((cycle, pc))
        if ctx.get(unit.finished):
            self.finished.append(cycle)
        if ctx.get(unit.fault.valid):
            self.faults.append((ctx.get(unit.fault.code), ctx.get(unit.fault.pc)))
        if ctx.get(unit.move.valid):
            assert ctx.get(unit.move.data) == ctx.get(unit.residual_write.data)
            self.moved.append((ctx.get(unit.move.pc), ctx.get(unit.move.row), ctx.get(unit.move.word)))
        if ctx.get(unit.select.valid):
            value = ctx.get(unit.select.low) | ctx.get(unit.select.high) << 16
            self.judged.append((ctx.get(unit.select.position), value, ctx.get(unit.select.kept)))

    def _memories(self, ctx: Any, job: Job, cycle: int, pipes: dict[str, list[int]]) -> None:
        unit, lanes = self.unit, importance_lanes(self.arch)
        values = [*job.importance.tolist(), *[0] * lanes]
        at = ctx.get(unit.importance.word) * lanes
        searched = values[at : at + lanes] if ctx.get(unit.importance.searching) else [1] * lanes
        word = sum(int(v) << IMPORTANCE_BITS * i for i, v in enumerate(searched))
        position = ctx.get(unit.importance.position)
        pipes["words"] = [word, pipes["words"][0]]
        pipes["single"] = [values[position] if position < len(values) else 5, pipes["single"][0]]
        pipes["list"] = [self.lists.get(ctx.get(unit.list_read.address), 4095), pipes["list"][0]]
        address = ctx.get(unit.residual.address)
        there = address < len(self.residual) and not (self.arch.residual_copies == 1 and self.taken(cycle))
        pipes["residual"] = [pack(self.residual[address]) if there else ELSEWHERE, pipes["residual"][0]]
        if ctx.get(unit.list_write.enable):
            self.lists[ctx.get(unit.list_write.address)] = ctx.get(unit.list_write.data)
        if ctx.get(unit.residual_write.enable):
            data = unpack(ctx.get(unit.residual_write.data), self.arch.output_lanes)
            self.residual[ctx.get(unit.residual_write.address)] = data

    @property
    def took(self) -> list[int]:
        """Cycles from start to end of every instruction."""
        return [end - start for (start, _), end in zip(self.started, self.finished, strict=True)]

    def expected(self) -> tuple[np.ndarray, dict[int, int]]:
        """Residual buffer and lists as golden leaves them."""
        residual, lists = self.before.copy(), dict[int, int]()
        dropped = (np.zeros(0, dtype=np.int64),) * 2
        for job in self.jobs:
            f = dict.fromkeys(("fuse", "src_base", "dst_base", "list_base", "fused_row"), 0) | job.fields
            if job.opcode is Opcode.SELECT:
                chosen = kept(job.importance, f["prefix"], f["keep"])
                others = np.setdiff1d(np.arange(f["rows"]), chosen)
                dropped = others, fused_weights(job.importance[others], f["weight"])
                entries = [*chosen.tolist(), *([f["fused_row"]] if f["fuse"] else [])]
                lists |= {f["list_base"] + n: row for n, row in enumerate(entries)}
                continue
            entries = np.array([lists[f["list_base"] + n] for n in range(f["rows"])])
            places = np.arange(f["words"])
            if f["fuse"]:
                rows = residual[f["src_base"] + dropped[0][:, None] * f["src_stride"] + places]
                row = fused_row(dropped[1], rows.reshape(len(rows), -1))
                residual[f["src_base"] + f["rows_in"] * f["src_stride"] + places] = row.reshape(f["words"], -1)
            plain = np.arange(f["rows"])
            sides = (entries, plain) if job.opcode is Opcode.GATHER else (plain, entries)
            source = f["src_base"] + sides[0][:, None] * f["src_stride"] + places
            target = f["dst_base"] + sides[1][:, None] * f["dst_stride"] + places
            residual[target] = residual[source]
        return residual, lists

    def check(self) -> "Bench":
        """Every word and every entry."""
        residual, lists = self.expected()
        assert not self.faults
        assert self.lists == lists
        wrong = np.argwhere(self.residual != residual)
        assert not wrong.size, f"word {wrong[0][0]} lane {wrong[0][1]}"
        return self
