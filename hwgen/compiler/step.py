"""An instruction before it is encoded."""

from dataclasses import dataclass
from functools import cached_property

from hwgen.compiler.listing import Produced
from hwgen.compiler.streams import Stream
from hwgen.spec.isa import Opcode
from hwgen.spec.ops import OPS


@dataclass(frozen=True, kw_only=True)
class Step:
    """Fields by name, the weight streams that the instruction consumes, and what it is good for."""

    opcode: Opcode
    name: str
    fields: dict[str, int]
    streams: tuple[Stream, ...] = ()
    macs: int = 0
    produced: tuple[Produced, ...] = ()
    chosen: int = 0  # EXPERTS: experts of every row

    @cached_property
    def every(self) -> dict[str, int]:
        """Every field; those that are not named are zero."""
        return {**dict.fromkeys(OPS[self.opcode].offsets(), 0), **self.fields}
