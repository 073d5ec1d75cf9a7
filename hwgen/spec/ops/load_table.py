"""LOAD_TABLE: a function table, broadcast to the units that hold it."""

from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.ops.op import OFFSET, WAIT_B, Field, Fields, Op, beats_of, counts_nothing, none, takes_nothing


def _moves(f: Fields, arch: ArchConfig) -> int:
    """32-bit entries."""
    return f["words"] * 4


OP = Op(
    opcode=Opcode.LOAD_TABLE,
    unit=Unit.IO,
    meaning="load a function table",
    fields=(
        OFFSET,
        Field("table", 4, "table id"),
        Field("words", 12, "32-bit entries, multiple of 4"),
        *WAIT_B,
    ),
    reads=none,
    writes=none,
    tables=none,
    counts=counts_nothing,
    takes=takes_nothing,
    moves=_moves,
    cycles=beats_of(_moves),
    destinations=none,
    loop=None,
)
