"""Front of the compute unit: op expander and operand loader, row by row."""

import itertools
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from hwgen.estimator.clock import Process, Track, Wait, after
from hwgen.estimator.machine import Instruction, Machine
from hwgen.spec import choices, timing
from hwgen.spec.isa import EXPERT_HIDDEN, Destination, Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.weight_formats import BY_CODE, DENSE8


@dataclass(frozen=True, kw_only=True)
class Op:
    """One loop nest of the unit; an EXPERTS instruction has two for every expert."""

    item: Instruction
    kind: Opcode
    rows: int
    chunks: int
    tiles: int  # output tiles; SCORES: key tiles
    counter: int = 0  # of finished rows
    by_row: tuple[Track, int] | None = None
    whole: tuple[Track, int] | None = None
    lookup: bool = False  # rows are named by a token queue
    first: bool = True
    destination: Destination | None = None
    finish: int = 0  # rows to count with the last tile
    top_k: int = 1
    per_word: int = 1  # input chunks whose weights share a ring word: 2 of four-bit weights

    @property
    def words(self) -> int:
        """Ring words of the weights of one output tile."""
        return -(-self.chunks // self.per_word)


@dataclass
class Steps:
    """Steps of the attention schedule: between the first and the end of an op, one query row is read a step."""

    changes: Track  # steps and ends
    times: list[int] = field(default_factory=list[int])  # of the steps
    _spans: list[tuple[int, int | None]] = field(default_factory=lambda: [])  # first step and last cycle of every op

    def step(self, time: int, opening: bool) -> None:
        """A step begins at ``time``."""
        if opening:
            self._spans.append((time, None))
        self.times.append(time)
        self.changes.reach(time)

    def end(self, last: int) -> None:
        """``last`` is the last cycle of the op."""
        self._spans[-1] = (self._spans[-1][0], last)
        self.changes.reach(last + 1)

    def turn(self, time: int, read: int) -> Wait:
        """When a row may be read, not before ``time``, if the one before was read at ``read``."""
        yield time
        while self._stepping(time) and not self._stepped(read, time):
            seen = bisect_right(self.changes.times, time)
            time = yield from after(time, self.changes, seen + 1)
        return time

    def _stepping(self, time: int) -> bool:
        return any(first < time and (last is None or time <= last) for first, last in self._spans[-2:])

    def _stepped(self, after: int, upto: int) -> bool:
        index = bisect_right(self.times, after)
        return index < len(self.times) and self.times[index] <= upto


@dataclass
class ComputeUnit:
    """Ops pass expander, operand loader and issuer in order."""

    machine: Machine
    ops: list[Op] = field(default_factory=list[Op])
    _hidden_rows: int = 0  # hidden rows of all experts so far

    def __post_init__(self) -> None:
        """Totals of row slots and words start at nothing."""
        track = self.machine.track
        self.expanded = track()  # instructions
        self.offered, self.handed, self.queued, self.walked, self.issued = (track() for _ in range(5))  # ops
        self.loaded, self.entered, self.released = track(), track(), track()  # row slots
        self.steps = Steps(track())

    def admit(self) -> Process:
        """Instructions leave their queue for the registers before the expander."""
        queue = self.machine.queues[Unit.COMPUTE]
        for number in range(len(queue.items)):
            time = yield from after(0, queue.entered, number + 1)
            free = yield from after(0, self.expanded, number + 1 - choices.BUFFER_DEPTH)
            queue.left.reach(max(time, free + 1))

    def expand(self) -> Process:
        """Instructions to ops; EXPERTS waits for the gate first."""
        queue, time = self.machine.queues[Unit.COMPUTE], 0
        for number, item in enumerate(queue.items):
            entered = yield from after(0, queue.entered, number + 1)
            time = max(time, entered + timing.BUFFER_LATENCY)
            if item.step.opcode is Opcode.EXPERTS:
                track, base = self.machine.waits(item, "wait_b")
                time = 2 + (yield from after(time, track, base))  # passed, and the length of the first queue is known
            for op in self._ops(item):
                time = yield from after(time, self.handed, len(self.ops) + 1 - choices.BUFFER_DEPTH)
                self.ops.append(op)
                self.offered.reach(time + timing.BUFFER_LATENCY)
                time += 1
            self.expanded.reach(time - 1)

    def hand(self) -> Process:
        """Ops leave the registers behind the expander for the queues of operand loader and issuer."""
        for number in itertools.count():
            time = yield from after(0, self.offered, number + 1)
            for taken in (self.walked, self.issued):
                time = yield from after(time, taken, number + 1 - choices.OP_QUEUE)
            self.handed.reach(time)
            self.queued.reach(time + 2)

    def _ops(self, item: Instruction) -> Iterator[Op]:
        """An instruction is one op, EXPERTS are many."""
        if item.step.opcode is Opcode.EXPERTS:
            yield from self._experts(item)
            return
        f, op = item.step.fields, OPS[item.step.opcode]
        loop = op.loop(f, self.machine.arch) if op.loop else None
        if loop is None:
            raise ValueError(f"{item.step.name}: {item.step.opcode.name} is no op of the compute unit")
        yield Op(
            item=item,
            kind=item.step.opcode,
            rows=loop.rows,
            chunks=loop.chunks,
            tiles=loop.out_tiles,
            counter=op.counts(f)[0],
            by_row=self.machine.waits(item, "wait_a"),
            whole=self.machine.waits(item, "wait_b"),
            destination=op.destinations(f)[0],
            top_k=f.get("top_k", 1),
            per_word=BY_CODE[f.get("int4", DENSE8.code)].chunks_per_word,
        )

    def _experts(self, item: Instruction) -> Iterator[Op]:
        """Two layers an expert; an empty queue only passes its weights by."""
        f, hidden = item.step.fields, self.machine.progress[EXPERT_HIDDEN]
        layers = (
            (f["in_chunks"], f["hidden_tiles"], f["int4_first"]),
            (f["hidden_chunks"], f["out_tiles"], f["int4_second"]),
        )
        last = max((expert for expert, rows in enumerate(item.queues) if rows), default=-1)
        base = self._hidden_rows
        for expert, rows in enumerate(item.queues):
            for second, (chunks, tiles, int4) in enumerate(layers):
                yield Op(
                    item=item,
                    kind=Opcode.LINEAR if rows else Opcode.EXPERTS,
                    rows=rows,
                    chunks=chunks,
                    tiles=tiles,
                    counter=0 if second else EXPERT_HIDDEN,
                    by_row=(hidden, base) if second else None,
                    lookup=True,
                    first=expert == 0 and not second,
                    finish=f["rows"] if second and expert == last else 0,
                    per_word=BY_CODE[int4].chunks_per_word,
                )
            base += rows
        self._hidden_rows = base

    def load(self) -> Process:
        """Rows of A, as far ahead as slots are free."""
        lanes, time = self.machine.arch.token_lanes, 0
        taken = words_end = 0
        read = -1  # when the last query row was read
        emits: list[int] = []  # when rows leave the row queue
        number = 0
        while True:
            time = yield from after(time, self.queued, number + 1)
            op = self.ops[number]
            number += 1
            if op.kind is Opcode.EXPERTS:
                self.walked.reach(time)
                time += 1
                continue
            if op.whole is not None:
                time = yield from after(time, *op.whole)
            words = -(-op.chunks // self.machine.arch.subwords)
            time += 1
            for row in range(-(-op.rows // lanes) * lanes):
                pad = row >= op.rows
                time = yield from after(time, self.released, taken + 1 - 2 * lanes)
                if op.kind is Opcode.SCORES:
                    time = yield from after(time, self.entered, taken + 1 - lanes)
                if op.by_row is not None and op.by_row[1] >= 0 and not pad:
                    time = yield from after(time, op.by_row[0], op.by_row[1] + row + 1)
                if op.kind is Opcode.SCORES:
                    time = yield from self.steps.turn(time, read)
                time += timing.ROW_CYCLES - 1 + (timing.LOOKUP_CYCLES if op.lookup and not pad else 0)
                if len(emits) > choices.ROW_QUEUE:
                    time = max(time, emits[-choices.ROW_QUEUE - 1])
                taken += 1
                read = time if op.kind is Opcode.SCORES and not pad else read
                words_end = max(words_end, time + 2) + (1 if pad else words)
                emits.append(words_end)
                self.loaded.reach(words_end + timing.LOADER_LATENCY)
                time += 1
            self.walked.reach(time - 1)
