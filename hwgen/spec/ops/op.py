"""What an operation declares: everything that another part of the project must know of it. Nothing has a default."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwgen.spec.arch import BEAT_BYTES, ArchConfig
from hwgen.spec.buffers import MemoryInfo
from hwgen.spec.isa import CHECKED_BYTES, Counter, Destination, Opcode, Unit
from hwgen.spec.order import Stage

Fields = Mapping[str, int]  # values of an instruction's fields by name


@dataclass(frozen=True)
class Field:
    """One field of an instruction; unsigned unless ``signed``."""

    name: str
    width: int
    meaning: str
    signed: bool = False


@dataclass(frozen=True, kw_only=True)
class Access:
    """Rows of words of one memory: word w of row r lies in bank ``r % banks`` at ``base + r // banks * stride + w``."""

    memory: MemoryInfo
    base: int
    stride: int
    rows: int
    words: int  # of a row
    stage: Stage  # who reads or writes them
    by_row: bool = False  # row r is read once ``wait_a`` has counted r + 1 rows; else everything is there at the start
    by_queue: bool = False  # the rows are some of the first ``rows``: those that token queues or a list name
    own: bool = False  # words that the same instruction writes: an order inside its unit guards them


@dataclass(frozen=True, kw_only=True)
class Loop:
    """The loop nest of a COMPUTE instruction that is one op: tiles of rows, output tiles, chunks."""

    rows: int
    out_tiles: int  # SCORES: key tiles
    chunks: int


@dataclass(frozen=True, kw_only=True)
class Op:
    """One operation of the machine.

    ``reads`` and ``writes`` give buffers with addresses; rings, queues and streams are beside them. ``moves`` is in
    bytes of DDR. ``cycles`` is how long the unit is busy when nothing makes it wait, given the tokens of every
    expert.
    """

    opcode: Opcode
    unit: Unit
    meaning: str
    fields: tuple[Field, ...]  # packed from bit 8 upwards, in order
    reads: Callable[[Fields, ArchConfig], tuple[Access, ...]]
    writes: Callable[[Fields, ArchConfig], tuple[Access, ...]]
    tables: Callable[[Fields], tuple[str, ...]]  # function tables that it looks values up in
    counts: Callable[[Fields], tuple[Counter, int]]  # progress counter, and rows that it counts in all
    takes: Callable[[Fields], Mapping[str, int]]  # name of a ring -> words that it takes
    moves: Callable[[Fields, ArchConfig], int]
    cycles: Callable[[Fields, ArchConfig, Sequence[int]], int]
    destinations: Callable[[Fields], tuple[Destination, ...]]  # of rows that it sends through the post-processor
    loop: Callable[[Fields, ArchConfig], Loop] | None  # None: no op of the compute unit, or many

    def offsets(self) -> dict[str, tuple[int, Field]]:
        """Field name -> (lowest bit, field)."""
        table: dict[str, tuple[int, Field]] = {}
        at = 8
        for item in self.fields:
            table[item.name] = (at, item)
            at += item.width
        if at > 8 * CHECKED_BYTES:
            raise ValueError(f"{self.opcode.name}: {at} bits do not fit in {8 * CHECKED_BYTES}")
        return table

    @property
    def bits(self) -> int:
        """Bits that opcode and fields take; those above are zero."""
        return 8 + sum(item.width for item in self.fields)


WAIT_A = (
    Field("wait_a", 4, "progress counter checked row by row"),
    Field("wait_a_base", 16, "its value when no row was ready"),
)
WAIT_B = (
    Field("wait_b", 4, "progress counter checked once before the first row"),
    Field("wait_b_base", 16, "value it must reach"),
)
ROWS = Field("rows", 12, "rows (tokens) to process")
DST = (
    Field("dst_base", 16, "word address of row 0"),
    Field("dst_stride", 10, "words from row to row"),
)
SRC = (
    Field("src_base", 16, "word address of row 0"),
    Field("src_stride", 10, "words from row to row"),
)
GELU = (
    Field("gelu_mult", 16, "M2: GELU output to hidden scale"),
    Field("gelu_shift", 6, "S2"),
)
ZERO = Field("zero", 8, "code of the hidden value 0", signed=True)
OFFSET = Field("offset", 32, "byte offset from the MODEL pointer, multiple of 16")


def rows_at(
    memory: MemoryInfo,
    f: Fields,
    place: str,
    rows: int,
    words: int,
    stage: Stage,
    *,
    by_row: bool = False,
    by_queue: bool = False,
    own: bool = False,
) -> Access:
    """Rows whose base and stride are the fields ``place``_base and ``place``_stride."""
    base, stride = f[f"{place}_base"], f[f"{place}_stride"]
    return Access(
        memory=memory,
        base=base,
        stride=stride,
        rows=rows,
        words=words,
        stage=stage,
        by_row=by_row,
        by_queue=by_queue,
        own=own,
    )


def none(*_: Any) -> tuple[Any, ...]:
    """It reads, writes, sends or looks up nothing."""
    return ()


def counts_nothing(_: Fields) -> tuple[Counter, int]:
    """No progress counter shows that it ran."""
    return Counter.NONE, 0


def takes_nothing(_: Fields) -> Mapping[str, int]:
    """It needs no words of the rings."""
    return {}


def moves_nothing(_: Fields, __: ArchConfig) -> int:
    """It does not use DDR."""
    return 0


def beats_of(moves: Callable[[Fields, ArchConfig], int]) -> Callable[[Fields, ArchConfig, Sequence[int]], int]:
    """Cycles of an operation that moves memory: its beats, all ports together."""
    return lambda f, arch, queues: moves(f, arch) // BEAT_BYTES


def chunk_words(chunks: int, arch: ArchConfig) -> int:
    """Words that hold ``chunks`` input chunks."""
    return -(-chunks // arch.subwords)
