"""STORE: rows of results to memory."""

from hwgen.spec.arch import BEAT_BYTES, ArchConfig
from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.ops.op import WAIT_B, Field, Fields, Op, beats_of, counts_nothing, none, takes_nothing


def _moves(f: Fields, arch: ArchConfig) -> int:
    """Whole beats."""
    return f["beats"] * BEAT_BYTES


OP = Op(
    opcode=Opcode.STORE,
    unit=Unit.IO,
    meaning="write the result FIFO to the RESULT pointer, in the order in which tiles drain",
    fields=(Field("beats", 24, "16-byte beats"), *WAIT_B),
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
