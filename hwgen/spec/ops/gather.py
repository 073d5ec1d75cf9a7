"""GATHER: listed rows of the residual stream, one behind the other; what a selection has dropped is summed before."""

from collections.abc import Sequence

from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import LIST, RESIDUAL
from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.ops.op import (
    DST,
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
    rows_at,
    takes_nothing,
)
from hwgen.spec.ops.select import FUSE, LIST_BASE
from hwgen.spec.order import Stage
from hwgen.spec.timing import gather_cycles

ROW_WORDS = Field("words", 10, "words per row")


def _reads(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    """The list, and every row that it can name."""
    return (
        Access(memory=LIST, base=f["list_base"], stride=1, rows=f["rows"], words=1, stage=Stage.NORM),
        rows_at(RESIDUAL, f, "src", f["rows_in"] + f["fuse"], f["words"], Stage.NORM, by_queue=True),
    )


def _writes(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    """The rows; and the sum, behind those of the stream that they come from."""
    rows = rows_at(RESIDUAL, f, "dst", f["rows"], f["words"], Stage.NORM)
    if not f["fuse"]:
        return (rows,)
    base = f["src_base"] + f["rows_in"] * f["src_stride"]
    fused = Access(memory=RESIDUAL, base=base, stride=f["src_stride"], rows=1, words=f["words"], stage=Stage.NORM)
    return (fused, rows)


def _cycles(f: Fields, arch: ArchConfig, queues: Sequence[int]) -> int:
    dropped = f["rows_in"] + 1 - f["rows"] if f["fuse"] else 0
    return gather_cycles(arch, f["rows"], dropped, f["words"])


OP = Op(
    opcode=Opcode.GATHER,
    unit=Unit.NORM,
    meaning="sum what the selection before has dropped, then copy listed rows of the residual stream behind each other",
    fields=(
        ROWS,
        Field("rows_in", 12, "rows of the stream that the list names some of; the fused row is the one behind them"),
        FUSE,
        ROW_WORDS,
        *SRC,
        *DST,
        LIST_BASE,
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
