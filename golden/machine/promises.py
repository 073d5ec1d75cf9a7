"""What the values of a progress counter promise, and how far the count may be away from a value that is waited for.

A counter that has reached a value says that all rows up to it are finished, if those who count it do so one after the
other. The machine compares sixteen bits: a value counts as reached when the count is 0 to 2^15 - 1 past it.
"""

from typing import NamedTuple

import numpy as np

from golden.machine.stages import Stage
from hwgen.spec.isa import Counter
from hwgen.spec.tables import Int64Array

HALF, WHOLE = 2**15, 2**16


class UnorderedError(Exception):
    """Event ``number`` of ``stage`` may come at any time; ``text`` says of whom, with {other} for its instruction."""

    def __init__(self, text: str, stage: Stage, number: int) -> None:
        super().__init__(text)
        self.text, self.stage, self.number = text, stage, number


class _Wait(NamedTuple):
    """Events ``number``, ``number`` + 1, .. of a stage wait for ``value``, ``value`` + 1, .."""

    value: int
    rows: int
    stage: Stage
    number: int


class Promises:
    """One counter without wrap-around."""

    def __init__(self, counter: Counter) -> None:
        """Nothing counted."""
        self.counter, self.total = counter, 0
        self._clocks = np.zeros((256, len(Stage)), dtype=np.int64)  # by value
        self._runs: list[tuple[int, Stage]] = []  # first value and stage of those who have counted, in turn
        self._waits: list[_Wait] = []

    def value(self, base: int) -> int:
        """The value that sixteen bits mean to a program that runs instruction by instruction."""
        return self.total - ((self.total - base + HALF) % WHOLE - HALF)

    def wait(self, value: int, rows: int, stage: Stage, number: int, clock: Int64Array) -> Int64Array:
        """What events of a stage know that wait for ``value``, one more for each, [rows, stages].

        ``clock``: what the stage knows before it looks at the counter.
        """
        if value > HALF and value - self._reached(clock) > HALF:
            text = f"waits for {self.counter.name} {value}, which a count below {value - HALF} passes for"
            raise UnorderedError(text, stage, number)
        self._waits.append(_Wait(value, rows, stage, number))
        if value < 0:  # before the first row: nothing to know
            return self._clocks[np.arange(value, value + rows).clip(0)]
        return self._clocks[value : value + rows]

    def count(self, stage: Stage, clocks: Int64Array) -> None:
        """The next rows are counted by a stage; ``clocks`` [rows, stages], when each is finished."""
        if not len(clocks):
            return
        self._check_turns(stage, clocks)
        before, self.total = self.total, self.total + len(clocks)
        if self.total >= HALF:
            self._check_waits(before, clocks)
        while self.total >= len(self._clocks):
            self._clocks = np.concatenate([self._clocks, np.zeros_like(self._clocks)])
        self._clocks[before + 1 : self.total + 1] = clocks

    def _check_turns(self, stage: Stage, clocks: Int64Array) -> None:
        """Two who count at once make values of which nobody knows whose rows they are."""
        last = self._runs[-1][1] if self._runs else None
        if last == stage:
            return
        if last is not None and clocks[0, last] < self._clocks[self.total, last]:
            text = f"counts {self.counter.name} while {{other}} may still count it"
            raise UnorderedError(text, last, int(self._clocks[self.total, last]))
        self._runs.append((self.total + 1, stage))

    def _check_waits(self, before: int, clocks: Int64Array) -> None:
        """Whoever waits for a value must have seen it before the count is 2^15 past it."""
        for item in self._waits:
            rows = np.arange(item.rows, dtype=np.int64)
            passed = np.maximum(item.value + rows + HALF, before + 1)  # the count at which it is no longer seen
            passed = passed[passed <= self.total]
            early = np.argwhere(clocks[passed - before - 1, item.stage] < item.number + rows[: len(passed)])
            if early.size:
                at = int(early[0, 0])
                text = f"counts {self.counter.name} to {int(passed[at])} while {{other}} may still wait for"
                raise UnorderedError(f"{text} {item.value + at}", item.stage, item.number + at)
        self._waits = [item for item in self._waits if item.value + item.rows + HALF > self.total]

    def _reached(self, clock: Int64Array) -> int:
        """The least that the counter can be for someone with this clock."""
        least = 0
        ends = [first - 1 for first, _ in self._runs[1:]] + [self.total]
        for (first, stage), last in zip(self._runs, ends, strict=True):
            found = int(np.count_nonzero(self._clocks[first : last + 1, stage] <= clock[stage]))
            least = first - 1 + found if found else least
        return least
