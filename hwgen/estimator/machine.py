"""What the units of the estimated machine share: clock, progress counters, queues, rings, the times of instructions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hwgen.compiler.step import Step
from hwgen.estimator.clock import Clock, Track, Wait, after
from hwgen.spec import timing
from hwgen.spec.arch import ArchConfig
from hwgen.spec.board import Board
from hwgen.spec.isa import EXPERT_HIDDEN, Counter, Unit
from hwgen.spec.ops import OPS

MODULUS = 2**16


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """An instruction and its place in the program."""

    index: int
    step: Step
    queues: tuple[int, ...] = ()  # EXPERTS: tokens of every expert


@dataclass(frozen=True, kw_only=True)
class Interval:
    """When an instruction runs, in cycles from the start of the machine."""

    start_cycle: int
    end_cycle: int


@dataclass
class Ring:
    """Words that have arrived, and words that have been freed, over time."""

    depth: int
    arrived: Track
    freed: Track

    def free(self, time: int, words: int = 1) -> None:
        """``words`` released at ``time``."""
        self.freed.reach(time + timing.RING_RELEASE_LATENCY, words)


@dataclass
class UnitQueue:
    """Instructions of one unit, when they come into its queue and when they leave it."""

    items: list[Instruction]
    entered: Track
    left: Track


@dataclass
class Machine:
    """State that several units see. Progress is kept as the time at which each count shows."""

    arch: ArchConfig
    board: Board
    program: Sequence[Instruction]
    clock: Clock = field(default_factory=Clock)
    starts: dict[int, int] = field(default_factory=dict[int, int])
    ends: dict[int, int] = field(default_factory=dict[int, int])
    mac_cycles: int = 0
    idle_from: int = 0  # every unit is done

    def __post_init__(self) -> None:
        """Nothing has happened yet."""
        arch = self.arch
        self.progress = {counter: self.track() for counter in (*Counter, EXPERT_HIDDEN)}
        self.norms, self.params, self.weights = (
            Ring(depth, self.track(), self.track())
            for depth in (arch.norm_entries, arch.param_entries, arch.ring_words)
        )
        self.queues = {unit: self._queue(unit) for unit in (Unit.LOAD, Unit.IO, Unit.COMPUTE, Unit.NORM)}
        self.result_words = self.track()  # words of results on their way to memory
        self.stored_words = self.track()  # ... that have left the result FIFO
        self.bases = _bases(self.program)

    def track(self) -> Track:
        """Something to count."""
        return Track(self.clock)

    def _queue(self, unit: Unit) -> UnitQueue:
        items = [item for item in self.program if OPS[item.step.opcode].unit is unit]
        return UnitQueue(items, self.track(), self.track())

    def count(self, counter: int, time: int, rows: int = 1) -> None:
        """``rows`` finished rows, reported at ``time``."""
        self.progress[counter].reach(time + timing.SCOREBOARD_LATENCY, rows)

    def waits(self, item: Instruction, which: str) -> tuple[Track, int]:
        """Track and base of ``wait_a`` or ``wait_b``; base -1 when there is nothing to wait for."""
        counter = item.step.fields.get(which, 0)
        return self.progress[counter], self.bases.get((item.index, which), -1)

    def passed(self, item: Instruction, time: int) -> Wait:
        """When LayerNorm or the IO engine starts an instruction that it could start at ``time`` but for ``wait_b``."""
        track, base = self.waits(item, "wait_b")
        if base < 0:
            return time
        return timing.WAIT_CYCLES + (yield from after(time, track, base))

    def done(self, time: int) -> None:
        """Some unit is busy until ``time``."""
        self.idle_from = max(self.idle_from, time)


def _bases(program: Iterable[Instruction]) -> dict[tuple[int, str], int]:
    """Bases of all waits, counted without wrapping: the value nearest to what the program has produced so far."""
    totals: dict[int, int] = dict.fromkeys(Counter, 0)
    bases: dict[tuple[int, str], int] = {}
    for item in program:
        for which in ("wait_a", "wait_b"):
            counter = item.step.fields.get(which, 0)
            if counter:
                base = item.step.fields[f"{which}_base"]
                bases[item.index, which] = base + MODULUS * max(0, round((totals[counter] - base) / MODULUS))
        counter, rows = OPS[item.step.opcode].counts(item.step.fields)
        totals[counter] += rows
    return bases
