"""What a program says in words: every instruction with its name, work, and the tensors that it leaves behind."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.isa import Destination, Opcode, Unit

Channel = Literal["post", "norm", "gate", "select", "move"]


@dataclass(frozen=True, kw_only=True)
class Produced:
    """A named tensor, or a part of one, that an instruction writes, and where each traced word belongs.

    Row ``r`` of the trace is row ``row_offset + r`` of the tensor. The words of a row fall into groups (heads) of
    ``group_words`` words that hold ``group_values`` values, the rest being padding; there are ``groups`` of them.
    Value ``v`` of group ``g`` is column ``column_offset + g * group_values + v``. ``index`` leads (the head of scores).
    A row may be written several times (experts); the last write counts. On channel ``gate`` the tensors follow from
    the chosen experts and have no words, and so do those on channel ``select``.
    """

    tensor: str  # name as in golden/network.py
    channel: Channel  # trace channel
    destination: Destination | None  # of channel post
    shape: tuple[int, ...]  # of the whole tensor
    rows: int  # rows that the instruction writes
    row_offset: int = 0
    index: tuple[int, ...] = ()
    column_offset: int = 0
    groups: int = 1
    group_values: int = 0
    group_words: int = 0
    only: str | None = None  # tensor of the rows that it writes; None, which JSON leaves out: all

    @property
    def words(self) -> int:
        """Words of a traced row."""
        return self.groups * self.group_words

    @property
    def values(self) -> int:
        """Values of the tensor that the instruction writes."""
        return self.rows * self.groups * self.group_values

    def columns(self, word: int, lanes: int) -> slice:
        """Columns of the tensor that word ``word`` holds in its first lanes; empty for a word of padding."""
        group, within = divmod(word, self.group_words)
        start = min(within * lanes, self.group_values)
        stop = min(start + lanes, self.group_values)
        first = self.column_offset + group * self.group_values
        return slice(first + start, first + stop)

    def put(self, tensor: NDArray[Any], row: int, word: int, data: NDArray[Any]) -> None:
        """Store one traced word (``data``: a value per lane) at its place in ``tensor``."""
        columns = self.columns(word, len(data))
        tensor[(*self.index, self.row_offset + row, columns)] = data[: columns.stop - columns.start]

    def part(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """The part of ``tensor`` that the instruction writes."""
        rows = slice(self.row_offset, self.row_offset + self.rows)
        columns = slice(self.column_offset, self.column_offset + self.groups * self.group_values)
        return tensor[(*self.index, rows, columns)] if self.group_values else tensor

    def as_words(self, tensor: NDArray[Any], lanes: int) -> NDArray[Any]:
        """The part of ``tensor`` as the machine holds it: [rows, words, lanes], padding zero."""
        values = self.part(tensor).reshape(self.rows, self.groups, self.group_values)
        out = np.zeros((self.rows, self.groups, self.group_words * lanes), dtype=tensor.dtype)
        out[:, :, : self.group_values] = values
        return out.reshape(self.rows, self.words, lanes)


@dataclass(frozen=True, kw_only=True)
class ListingEntry:
    """One instruction of a program."""

    index: int
    opcode: Opcode
    unit: Unit
    name: str  # what it computes: "blocks.1.experts"
    fields: dict[str, int]
    macs: int  # multiplications that the network needs, padding not counted
    produced: tuple[Produced, ...]

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON data."""
        return asdict(self) | {
            "opcode": self.opcode.name,
            "unit": self.unit.name,
            "produced": [
                {name: value for name, value in asdict(item).items() if name != "only" or value is not None}
                | {"destination": None if item.destination is None else item.destination.name}
                for item in self.produced
            ],
        }

    def __str__(self) -> str:
        """The entry as a line of text."""
        fields = " ".join(f"{name}={value}" for name, value in self.fields.items() if value)
        return f"{self.index:5d} {self.opcode.name:<13} {self.name:<24} {fields}"
