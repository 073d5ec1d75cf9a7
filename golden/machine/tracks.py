"""Who has touched each word last: one number for every stage that reads or writes a buffer, a table or the queues."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.machine.stages import Stage
from hwgen.spec.arch import ArchConfig
from hwgen.spec.ops.op import Access
from hwgen.spec.tables import Int64Array

_SLACK = 2**10  # behind the last word, so that rows can be looked at as long as they are apart; no stride is longer


class Places(NamedTuple):
    """The words of some rows, counted through all banks of a buffer."""

    rows: int
    words: int
    first: int
    stride: int
    listed: NDArray[np.intp] | None  # [rows, words], where ``first`` and ``stride`` do not tell

    def of(self, numbers: Int64Array) -> Int64Array:
        """What ``numbers`` says of the words, [rows, words]."""
        return self._view(numbers) if self.listed is None else numbers[self.listed]

    def put(self, numbers: Int64Array, values: Int64Array) -> None:
        """``values`` [rows or 1, words or 1] for the words."""
        if self.listed is None:
            self._view(numbers)[...] = values
        else:
            numbers[self.listed] = values

    def _view(self, numbers: Int64Array) -> Int64Array:
        behind = self.first + self.rows * self.stride
        return numbers[self.first : behind].reshape(self.rows, self.stride)[:, : self.words]

    def word(self, row: int, word: int) -> int:
        """Number of one of the words."""
        return self.first + row * self.stride + word if self.listed is None else int(self.listed[row, word])


@lru_cache(maxsize=1024)
def _places(banks: int, depth: int, base: int, stride: int, rows: int, words: int) -> Places:
    """Bank after bank; rows that do not fit are left out (queues need not name every row that they could)."""
    if not rows or not words or stride < words or banks > 1:
        row = np.arange(rows, dtype=np.intp)[:, None]
        address = base + row // banks * stride + np.arange(words, dtype=np.intp)
        listed = (row % banks * depth + address)[address.max(axis=1, initial=0) < depth]
        return Places(len(listed), words, 0, 0, listed)
    fits = min(rows, max(0, (depth - base - words) // stride + 1))
    return Places(fits, words, base, stride, None)


def places(access: Access, arch: ArchConfig) -> Places:
    """The words of an access."""
    memory = access.memory
    shape = memory.bank_count(arch), memory.words(arch)
    return _places(*shape, access.base, access.stride, access.rows, access.words)


def blank(words: int, value: int = 0) -> Int64Array:
    """A number for each word of a buffer."""
    return np.full(words + _SLACK, value, dtype=np.int64)


ONE_WORD = Places(1, 1, 0, 1, None)  # of what is read and written as a whole


class Conflict(NamedTuple):
    """A word, the row of the instruction that touches it, and the event that may not be over."""

    row: int
    place: int
    number: int


class Track:
    """The last event of one stage that touched each word; 0: none has."""

    def __init__(self, words: int) -> None:
        self.numbers, self.newest = blank(words), 0

    def note(self, at: Places, numbers: Int64Array) -> None:
        """Events ``numbers``, one for each row or one for all."""
        at.put(self.numbers, numbers[: at.rows, None])
        self.newest = max(self.newest, int(numbers[-1]))

    def conflict(self, at: Places, known: Int64Array, among: NDArray[np.bool_] | None = None) -> Conflict | None:
        """The first word whose last event is not over for a row that knows of ``known`` [rows or 1] events.

        ``among`` [rows, words]: only these words matter.
        """
        if self.newest <= known[0]:
            return None
        numbers = at.of(self.numbers)
        late = numbers > known[: at.rows, None]
        if among is not None:
            late &= among
        if not late.any():
            return None
        row, word = (int(index) for index in np.argwhere(late)[0])
        return Conflict(row, at.word(row, word), int(numbers[row, word]))


class Tracks:
    """Readers and writers of one memory."""

    def __init__(self, words: int) -> None:
        """``words`` of all banks."""
        self._words = words
        self.reads: dict[Stage, Track] = {}
        self.writes: dict[Stage, Track] = {}

    def read(self, stage: Stage, at: Places, numbers: Int64Array) -> None:
        """A stage reads words in events ``numbers``, one for each row or one for all."""
        self._note(self.reads, stage, at, numbers)

    def write(self, stage: Stage, at: Places, numbers: Int64Array) -> None:
        """A stage writes words."""
        self._note(self.writes, stage, at, numbers)

    def _note(self, side: dict[Stage, Track], stage: Stage, at: Places, numbers: Int64Array) -> None:
        if stage not in side:
            side[stage] = Track(self._words)
        if at.rows:
            side[stage].note(at, numbers)
