"""What every row of an instruction knows to have happened before it (docs/architecture.md, "The order of the machine").

The rows of a unit are numbered through its instructions. What a row knows is, for every stage, how many rows that stage
has certainly finished: the largest of what the rows before it knew and of what its waits promise. A promise is what the
row knew that made the counter reach that value.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.counters import MODULUS
from hwgen.spec.arch import BEAT_BYTES, ArchConfig
from hwgen.spec.destinations import DESTINATIONS
from hwgen.spec.isa import Counter, Destination, Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.order import Stage

Numbers = NDArray[np.int64]
UNIT_OF = {
    **dict.fromkeys((Stage.LOADER, Stage.ISSUER, Stage.POST, Stage.SOFTMAX, Stage.GATE), Unit.COMPUTE),
    Stage.NORM: Unit.NORM,
    Stage.IO: Unit.IO,
}
_COUNTING = {"post": Stage.POST, "experts": Stage.POST, "softmax": Stage.SOFTMAX, "gate": Stage.GATE}


@dataclass(frozen=True, kw_only=True)
class Known:
    """An instruction's rows, and what they know: arrays [rows, stages]."""

    index: int  # of the instruction
    unit: Unit
    first: int  # number of its first row
    start: Numbers  # when a row is read
    finish: Numbers  # when the first word of a row is written
    counter: Counter
    base: int  # of the counter

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.start)

    @property
    def end(self) -> int:
        """Number of the row behind the last."""
        return self.first + self.rows

    def at(self, stage: Stage) -> Numbers:
        """What its rows know when a stage touches what they stand for; a stage does its own rows in order."""
        know = (self.start if stage in (Stage.LOADER, Stage.ISSUER) else self.finish).copy()
        know[:, stage] = np.arange(self.first, self.end)
        return know


@dataclass(frozen=True, kw_only=True)
class Need:
    """Rows of a stage that must be finished before an instruction may do something."""

    stage: Stage
    number: int  # rows
    what: str  # what both touch
    read: bool = False  # nobody but the reader can know whose words it wants, so a wait for these may be wrong


@dataclass
class _Line:
    """The rows of one unit so far."""

    chain: Numbers  # what the next row knows at least
    end: int = 0
    begins: list[int] = field(default_factory=list[int])  # number of each instruction's first row
    instructions: list[Known] = field(default_factory=list[Known])


def stage_of(opcode: Opcode, fields: Mapping[str, int]) -> Stage:
    """Who counts the rows of an instruction."""
    unit = OPS[opcode].unit
    if unit is Unit.COMPUTE:
        return _COUNTING[DESTINATIONS[OPS[opcode].destinations(fields)[-1]].counted_by]
    return Stage.NORM if unit is Unit.NORM else Stage.IO


class _Counts:
    """What is known at each value of a counter: rows of an array that doubles when it is full."""

    def __init__(self) -> None:
        self.total = 0
        self._known = np.zeros((64, len(Stage)), dtype=np.int64)

    def add(self, known: Numbers) -> None:
        """More values."""
        end = self.total + len(known) + 1
        if end > len(self._known):
            self._known = np.pad(self._known, ((0, end), (0, 0)))
        self._known[self.total + 1 : end] = known
        self.total = end - 1

    def at(self, value: int | Numbers) -> Numbers:
        """Of values that the counter never reaches, what is known at the last."""
        return self._known[np.clip(value, 0, self.total)]


class Order:
    """The instructions of a program so far, in its order: `known` looks at the next one, `take` accepts it."""

    def __init__(self, arch: ArchConfig) -> None:
        """Nothing has happened."""
        self._arch = arch
        nothing = np.zeros(len(Stage), dtype=np.int64)
        self._lines = {unit: _Line(nothing) for unit in (Unit.COMPUTE, Unit.NORM, Unit.IO)}
        self._after = {counter: _Counts() for counter in Counter}
        self._counted: dict[Counter, Need] = {}  # who counted last
        self._pushed: list[tuple[int, Numbers]] = []  # beats of results so far, and what is known with the last of them
        self._stored = 0  # beats

    def known(self, index: int, opcode: Opcode, f: Mapping[str, int]) -> Known:
        """What the rows of instruction ``index`` know; one row where rows are done at once."""
        op = OPS[opcode]
        counter, counted = op.counts(f)
        line = self._lines[op.unit]
        rows = max(1, counted) if op.unit is Unit.IO or counter is Counter.NONE else f["rows"]
        start = self._waited(line.chain, f, rows)
        finish = self._finished(opcode, start, line.end)
        return Known(
            index=index,
            unit=op.unit,
            first=line.end,
            start=start,
            finish=finish,
            counter=counter,
            base=self.total(counter),
        )

    def total(self, counter: Counter) -> int:
        """Rows counted so far."""
        return self._after[counter].total

    def target(self, counter: int, base: int) -> int:
        """A value that a wait names, without wrapping: the one nearest to what has been counted."""
        total = self.total(Counter(counter))
        return total - ((total - base + MODULUS // 2) % MODULUS - MODULUS // 2)

    def promise(self, counter: Counter, value: int) -> Numbers:
        """What is known when a counter has reached a value; of values that it never reaches, the last."""
        return self._after[counter].at(value)

    def _waited(self, chain: Numbers, f: Mapping[str, int], rows: int) -> Numbers:
        """What rows know when they start."""
        know = chain
        if f.get("wait_b"):
            know = np.maximum(know, self.promise(Counter(f["wait_b"]), self.target(f["wait_b"], f["wait_b_base"])))
        if not f.get("wait_a") or not rows:
            return np.repeat(know[None], rows, axis=0)
        counter = Counter(f["wait_a"])
        values = self.target(counter, f["wait_a_base"]) + 1 + np.arange(rows)
        promised = self._after[counter].at(values)
        return np.maximum.accumulate(np.maximum(promised, know), axis=0)

    def _finished(self, opcode: Opcode, start: Numbers, first: int) -> Numbers:
        """What rows know when they are written: their tile has been loaded, and all before it has been issued."""
        if OPS[opcode].unit is not Unit.COMPUTE or not len(start):
            return start
        rows = np.arange(len(start))
        if opcode is Opcode.EXPERTS:
            loaded = np.full_like(rows, len(rows) - 1)
        elif opcode is Opcode.SCORES:
            loaded = rows
        else:
            lanes = self._arch.token_lanes
            loaded = np.minimum((rows // lanes + 1) * lanes, len(rows)) - 1
        know = start[loaded]
        know[:, Stage.LOADER] = first + loaded + 1
        know[:, Stage.ISSUER] = first
        know[:, Stage.POST] = first + rows
        return know

    def counting(self, known: Known, stage: Stage) -> Need | None:
        """Another stage that counts on the counter of an instruction, which does not know that it is done."""
        last = self._counted.get(known.counter)
        if last is None or last.stage is stage or known.finish[0][last.stage] >= last.number:
            return None
        return last

    def take(self, known: Known, opcode: Opcode, f: Mapping[str, int]) -> None:
        """The instruction belongs to the program."""
        line = self._lines[known.unit]
        line.begins.append(known.first)
        line.instructions.append(known)
        line.end = known.end
        if not known.rows:
            return
        stage = stage_of(opcode, f)
        after = self._counted_rows(known, opcode, stage)
        line.chain = known.start[-1].copy()
        if known.unit is not Unit.COMPUTE:
            line.chain[stage] = known.end
        if known.counter:
            self._after[known.counter].add(after)
            self._counted[known.counter] = Need(stage=stage, number=known.end, what=f"counter {known.counter.name}")
        self._results(opcode, f, after)

    def _counted_rows(self, known: Known, opcode: Opcode, stage: Stage) -> Numbers:
        """What is known when each row has been counted."""
        after, behind = known.finish.copy(), np.arange(known.first, known.end) + 1
        if known.unit is Unit.COMPUTE:
            after[:, Stage.POST] = behind
            after[-1, Stage.ISSUER] = known.end
        after[:, stage] = behind
        if opcode is Opcode.EXPERTS:  # all rows at once
            after[:] = after[-1]
        return after

    def _results(self, opcode: Opcode, f: Mapping[str, int], after: Numbers) -> None:
        """STORE ends when its results have come."""
        if Destination.RESULT in OPS[opcode].destinations(f):
            before = self._pushed[-1][0] if self._pushed else 0
            beats = f["rows"] * f["out_tiles"] * self._arch.output_lanes * 2 // BEAT_BYTES
            self._pushed.append((before + beats, after[-1]))
        elif opcode is Opcode.STORE:
            self._stored += f["beats"]
            line = self._lines[Unit.IO]
            for beats, know in self._pushed:
                if beats <= self._stored:
                    line.chain = np.maximum(line.chain, know)

    def owner(self, need: Need) -> Known:
        """The instruction whose row a need names last."""
        line = self._lines[UNIT_OF[need.stage]]
        return line.instructions[bisect_right(line.begins, need.number - 1) - 1]

    def wait(self, need: Need) -> tuple[Counter, int] | None:
        """A counter and the value that shows that rows are finished; None when nobody counts them or what follows."""
        line = self._lines[UNIT_OF[need.stage]]
        at = bisect_right(line.begins, need.number - 1) - 1
        for known in line.instructions[at:]:
            if known.counter:
                rows = need.number - known.first if known is line.instructions[at] else 1
                return known.counter, known.base + rows
        return None
