"""END: the program is over when every unit is."""

from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.ops.op import Op, beats_of, counts_nothing, moves_nothing, none, takes_nothing

OP = Op(
    opcode=Opcode.END,
    unit=Unit.CONTROL,
    meaning="wait until every unit is idle, then raise the interrupt",
    fields=(),
    reads=none,
    writes=none,
    tables=none,
    counts=counts_nothing,
    takes=takes_nothing,
    moves=moves_nothing,
    cycles=beats_of(moves_nothing),
    destinations=none,
    loop=None,
)
