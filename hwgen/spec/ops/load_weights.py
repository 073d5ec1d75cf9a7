"""LOAD_WEIGHTS: parameters and weights into the rings, ahead of their consumers."""

from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.ops.op import OFFSET, WAIT_B, Field, Fields, Op, beats_of, counts_nothing, none, takes_nothing


def _moves(f: Fields, arch: ArchConfig) -> int:
    """The slice of every port."""
    return f["port_stride"] * arch.weight_ports


OP = Op(
    opcode=Opcode.LOAD_WEIGHTS,
    unit=Unit.LOAD,
    meaning="stream parameters and weight tiles into the rings; every port reads its own slice",
    fields=(
        OFFSET,
        Field("port_stride", 32, "bytes between the slices of consecutive ports"),
        Field("norm_entries", 12, "LayerNorm parameter entries, first in the stream"),
        Field("param_entries", 12, "post-processor parameter entries, second"),
        Field("weight_words", 20, "words of weights, last: one tile each, or two of four-bit weights"),
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
