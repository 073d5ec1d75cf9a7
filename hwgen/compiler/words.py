"""Who touched each word of a memory last."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.knowledge import Known, Need, Numbers
from hwgen.spec.ops.op import Access
from hwgen.spec.order import Stage

NOBODY = -1


class Words:
    """The words of one memory: the stage and the row that wrote each last, and the last row of every stage that reads.

    Rows are numbered as in `hwgen.compiler.knowledge`. Who wrote before the last writer, or read before it, need not be
    kept: he is ordered before that writer, or that was found.
    """

    def __init__(self, name: str, banks: int) -> None:
        """No words yet; they come with the accesses."""
        self.name, self._banks = name, banks
        shape = (banks, 0)
        self._writer = np.full(shape, NOBODY, dtype=np.int64)
        self._written = np.zeros(shape, dtype=np.int64)
        self._slot = np.zeros(shape, dtype=np.int64)  # cycle of the post-processor in which the word was written
        self._read = dict[Stage, Numbers]()
        self._port = dict[Stage, int]()  # last row of every stage that writes
        self._places = dict[tuple[int, ...], tuple[Numbers, Numbers]]()

    def place(self, access: Access) -> tuple[Numbers, Numbers]:
        """(bank [rows, 1], address [rows, words]) of the words of an access."""
        region = access.base, access.stride, access.rows, access.words
        if region not in self._places:
            rows = np.arange(access.rows)[:, None]
            address = access.base + rows // self._banks * access.stride + np.arange(access.words)
            self._reach(int(address.max(initial=-1)) + 1)
            self._places[region] = rows % self._banks, address
        return self._places[region]

    def _reach(self, depth: int) -> None:
        more = depth - self._writer.shape[1]
        if more > 0:
            wider = ((0, 0), (0, more))
            self._writer = np.pad(self._writer, wider, constant_values=NOBODY)
            self._written, self._slot = np.pad(self._written, wider), np.pad(self._slot, wider)
            self._read = {stage: np.pad(rows, wider) for stage, rows in self._read.items()}

    def before_read(self, access: Access, know: Numbers, slots: Numbers | None, window: int) -> Iterator[Need]:
        """Writers that a reader does not know to be done. ``slots`` [rows, words]: cycles of the post-processor, which
        needs not know of its own writes that are ``window`` cycles old.
        """
        place = self.place(access)
        writer, written = self._writer[place], self._written[place]
        for stage in self._port:
            late = (writer == stage) & (written > know[:, stage, None])
            if slots is not None and stage is Stage.POST:
                late &= slots - self._slot[place] < window
            yield from self._need(stage, late, written, place, read=slots is None)

    def before_write(self, access: Access, know: Numbers) -> Iterator[Need]:
        """Writers and readers that a writer does not know to be done; other stages that hold the write port."""
        place = self.place(access)
        writer, written = self._writer[place], self._written[place]
        for stage, last in self._port.items():
            yield from self._need(stage, (writer == stage) & (written > know[:, stage, None]), written, place)
            if last > know[0, stage] and stage is not access.stage:
                yield Need(stage=stage, number=last, what=f"the write port of {self.name}")
        for stage, rows in self._read.items():
            yield from self._need(stage, rows[place] > know[:, stage, None], rows[place], place)

    def _need(
        self,
        stage: Stage,
        late: NDArray[np.bool_],
        rows: Numbers,
        place: tuple[Numbers, Numbers],
        *,
        read: bool = False,
    ) -> Iterator[Need]:
        if late.any():
            number = int(rows[late].max())
            at = tuple(np.argwhere(late & (rows == number))[0])
            bank = f" of bank {int(place[0][at[0], 0])}" if self._banks > 1 else ""
            yield Need(stage=stage, number=number, what=f"{self.name} word {int(place[1][at])}{bank}", read=read)

    def read(self, access: Access, known: Known) -> None:
        """A stage reads; keys and values until the instruction ends."""
        place = self.place(access)
        rows = self._read.setdefault(access.stage, np.zeros(self._writer.shape, dtype=np.int64))
        rows[place] = np.maximum(rows[place], _numbers(access, known)[:, None])

    def write(self, access: Access, known: Known, slots: Numbers | None) -> None:
        """A stage writes."""
        place, numbers = self.place(access), _numbers(access, known)
        self._writer[place], self._written[place] = access.stage, numbers[:, None]
        if slots is not None:
            self._slot[place] = slots
        self._port[access.stage] = known.end


def _numbers(access: Access, known: Known) -> Numbers:
    """How many rows of its stage are done when each row of an access is."""
    if access.rows != known.rows or access.by_queue or access.stage is Stage.ISSUER:
        return np.full(access.rows, known.end)
    return np.arange(known.first, known.end) + 1
