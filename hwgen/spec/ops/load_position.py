"""LOAD_POSITION: the position table becomes the residual stream."""

from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import RESIDUAL
from hwgen.spec.isa import Counter, Opcode, Unit
from hwgen.spec.ops.op import OFFSET, ROWS, WAIT_B, Access, Field, Fields, Op, beats_of, none, takes_nothing
from hwgen.spec.order import Stage


def _writes(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    words = f["row_words"]
    return (Access(memory=RESIDUAL, base=f["dst_base"], stride=words, rows=f["rows"], words=words, stage=Stage.IO),)


def _counts(f: Fields) -> tuple[Counter, int]:
    return Counter.RESIDUAL, f["rows"]


def _moves(f: Fields, arch: ArchConfig) -> int:
    """int16 rows."""
    return f["rows"] * f["row_words"] * arch.output_lanes * 2


OP = Op(
    opcode=Opcode.LOAD_POSITION,
    unit=Unit.IO,
    meaning="load the int16 position table into the residual buffer; counts RESIDUAL per row",
    fields=(
        OFFSET,
        ROWS,
        Field("row_words", 10, "words per row"),
        Field("dst_base", 16, "word address of row 0"),
        *WAIT_B,
    ),
    reads=none,
    writes=_writes,
    tables=none,
    counts=_counts,
    takes=takes_nothing,
    moves=_moves,
    cycles=beats_of(_moves),
    destinations=none,
    loop=None,
)
