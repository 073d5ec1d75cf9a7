"""SCATTER: rows of the residual stream back to where a list took them from."""

from collections.abc import Sequence

from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import LIST, RESIDUAL
from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.ops.gather import ROW_WORDS
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
from hwgen.spec.ops.select import LIST_BASE
from hwgen.spec.order import Stage
from hwgen.spec.timing import scatter_cycles


def _reads(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    return (
        Access(memory=LIST, base=f["list_base"], stride=1, rows=f["rows"], words=1, stage=Stage.NORM),
        rows_at(RESIDUAL, f, "src", f["rows"], f["words"], Stage.NORM),
    )


def _writes(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    """Every row that the list can name."""
    return (rows_at(RESIDUAL, f, "dst", f["rows_out"], f["words"], Stage.NORM, by_queue=True),)


def _cycles(f: Fields, arch: ArchConfig, queues: Sequence[int]) -> int:
    return scatter_cycles(arch, f["rows"], f["words"])


OP = Op(
    opcode=Opcode.SCATTER,
    unit=Unit.NORM,
    meaning="copy rows of the residual stream to the rows that a list names",
    fields=(
        ROWS,
        Field("rows_out", 12, "rows of the stream that the list names some of"),
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
