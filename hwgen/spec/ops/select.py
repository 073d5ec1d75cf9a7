"""SELECT: the rows of the largest importance, as a list."""

from collections.abc import Sequence

from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import IMPORTANCE, LIST
from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.ops.op import (
    ROWS,
    SRC,
    WAIT_B,
    Access,
    Field,
    Fields,
    Op,
    counts_nothing,
    moves_nothing,
    none,
    takes_nothing,
)
from hwgen.spec.order import Stage
from hwgen.spec.timing import select_cycles

LIST_BASE = Field("list_base", 16, "first entry of the list")
FUSE = Field("fuse", 1, "the rows that are dropped become one row more")


def _reads(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    words = arch.words(f["rows"])
    return (Access(memory=IMPORTANCE, base=0, stride=words, rows=min(1, words), words=words, stage=Stage.NORM),)


def _writes(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    return (Access(memory=LIST, base=f["list_base"], stride=1, rows=listed(f), words=1, stage=Stage.NORM),)


def listed(f: Fields) -> int:
    """Entries of the list."""
    return f["prefix"] + f["keep"] + f["fuse"]


def _cycles(f: Fields, arch: ArchConfig, queues: Sequence[int]) -> int:
    return select_cycles(arch, f["rows"], f["fuse"])


OP = Op(
    opcode=Opcode.SELECT,
    unit=Unit.NORM,
    meaning="list the first rows and the most important others, ascending, then the fused row; note what is dropped",
    fields=(
        ROWS,
        Field("prefix", 12, "first rows, which are kept"),
        Field("keep", 12, "others that are kept"),
        LIST_BASE,
        FUSE,
        Field("fused_row", 12, "row of the stream that the sum of the dropped rows will have: the last of the list"),
        Field("weight", 17, "factor of an importance in the weight of a dropped row, UQ0.16: one over the heads"),
        *SRC,
        *WAIT_B,
    ),
    reads=_reads,
    writes=_writes,
    tables=none,
    counts=counts_nothing,
    takes=takes_nothing,
    moves=moves_nothing,
    cycles=_cycles,
    destinations=none,
    loop=None,
)
