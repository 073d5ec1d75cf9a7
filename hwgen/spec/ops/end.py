"""END: the program is over when every unit is."""

from collections.abc import Sequence

from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.ops.op import Fields, Op, counts_nothing, moves_nothing, none, takes_nothing


def _cycles(f: Fields, arch: ArchConfig, queues: Sequence[int]) -> int:
    """None of its own."""
    return 0


OP = Op(
    opcode=Opcode.END,
    unit=Unit.CONTROL,
    meaning="wait until every unit is idle, then raise the interrupt",
    fields=(),
    reads=none,
    writes=none,
    counts=counts_nothing,
    takes=takes_nothing,
    moves=moves_nothing,
    cycles=_cycles,
    destinations=none,
    loop=None,
)
