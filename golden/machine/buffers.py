"""On-chip buffers with the layouts of docs/architecture.md, and who wrote each word.

Every buffer is a set of banks. Row ``r`` of a tensor lies in bank ``r % banks`` at the addresses
``base + (r // banks) * stride + word``; a plain row-major buffer has one bank.
A word remembers the unit that wrote it and the progress count at which a reader may rely on it, so that the golden
machine finds a missing wait in a program although it runs one instruction after the other.
"""

from typing import NamedTuple

import numpy as np

from golden.rounding import Integers
from hwgen.spec.isa import Counter, Unit
from hwgen.spec.tables import Int64Array

NEVER = -1  # unit of a word that nobody has written


class BoundsError(IndexError):
    """An address past the end of a buffer."""


class Stamp(NamedTuple):
    """Who wrote a word, and which progress count says so; arrays of one shape."""

    unit: Int64Array
    counter: Int64Array
    reached: Int64Array


class Region(NamedTuple):
    """Where a tensor lies: rows (any order), word address of row 0, words from row to row, words per row."""

    rows: Int64Array
    base: int
    stride: int
    words: int


class Buffer:
    """A banked buffer of words of ``lanes`` integers."""

    def __init__(self, name: str, words: int, lanes: int, banks: int = 1) -> None:
        """``words`` is the depth of each bank."""
        self.name, self.words, self.lanes, self.banks = name, words, lanes, banks
        self.data = np.zeros((banks, words, lanes), dtype=np.int64)
        self.unit = np.full((banks, words), NEVER, dtype=np.int64)
        self.counter = np.zeros((banks, words), dtype=np.int64)
        self.count = np.zeros((banks, words), dtype=np.int64)

    def _place(self, region: Region) -> tuple[Int64Array, Int64Array]:
        """(bank, address) [rows, words] of a tensor; BoundsError names the first address that does not exist."""
        rows = region.rows[:, None]
        address = region.base + rows // self.banks * region.stride + np.arange(region.words)
        if address.size and address.max() >= self.words:
            raise BoundsError(f"word {int(address.max())} of the {self.name} buffer, which has {self.words}")
        return np.broadcast_to(rows % self.banks, address.shape), address

    def read(self, region: Region) -> tuple[Int64Array, Stamp]:
        """Values [rows, words * lanes] of a tensor, and who wrote its words, [rows, words]."""
        place = self._place(region)
        stamp = Stamp(self.unit[place], self.counter[place], self.count[place])
        return self.data[place].reshape(len(region.rows), -1), stamp

    def write(self, region: Region, values: Int64Array, unit: Unit, counter: Counter, counts: Integers) -> None:
        """Store values [rows, words * lanes]; ``counts`` [rows] is the progress at which each row may be read."""
        place = self._place(region)
        self.data[place] = values.reshape(len(region.rows), region.words, self.lanes)
        self.unit[place], self.counter[place] = int(unit), int(counter)
        self.count[place] = np.broadcast_to(np.asarray(counts), (len(region.rows),))[:, None]
