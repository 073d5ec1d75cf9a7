"""Where the post-processor sends a row, declared once: buffer, width, what finishes the row, and who counts it."""

from dataclasses import dataclass
from typing import Literal

from hwgen.spec.buffers import ACTIVATION, KEY, RESIDUAL, SCORE, VALUE, MemoryInfo
from hwgen.spec.isa import Counter, Destination, Opcode

STREAM_BITS = 16  # of a value that goes into no buffer


@dataclass(frozen=True, kw_only=True)
class DestinationInfo:
    """How rows of one destination are finished (docs/numerics.md) and where they go."""

    destination: Destination
    opcode: Opcode  # instruction whose rows these are
    buffer: MemoryInfo | None  # None: a stream, to the gate or to the result FIFO
    counter: Counter  # progress of its rows; NONE: counted by nobody row by row
    counted_by: Literal["post", "softmax", "gate", "experts"] = "post"
    parameters: Literal["ring", "scalars", "row_factor"] = "ring"  # bias, multiplier and shift of its rows
    factor: Literal["one", "gelu", "score"] = "one"  # second factor: behind GELU, or the score of an expert
    adds: bool = False  # the residual

    @property
    def bits(self) -> int:
        """To which a value is saturated."""
        return STREAM_BITS if self.buffer is None else self.buffer.element_bits

    @property
    def has_row_factors(self) -> bool:
        """Its rows have row factors, of which there are ``max_tokens``."""
        return self.opcode in (Opcode.SCORES, Opcode.CONTEXT)


DESTINATIONS: dict[Destination, DestinationInfo] = {
    item.destination: item
    for item in (
        DestinationInfo(destination=Destination.QUERY, opcode=Opcode.LINEAR, buffer=ACTIVATION, counter=Counter.QUERY),
        DestinationInfo(destination=Destination.KEY, opcode=Opcode.LINEAR, buffer=KEY, counter=Counter.KEY),
        DestinationInfo(destination=Destination.VALUE, opcode=Opcode.LINEAR, buffer=VALUE, counter=Counter.VALUE),
        DestinationInfo(
            destination=Destination.HIDDEN,
            opcode=Opcode.LINEAR,
            buffer=ACTIVATION,
            counter=Counter.HIDDEN,
            factor="gelu",
        ),
        DestinationInfo(
            destination=Destination.RESIDUAL,
            opcode=Opcode.LINEAR,
            buffer=RESIDUAL,
            counter=Counter.RESIDUAL,
            adds=True,
        ),
        DestinationInfo(
            destination=Destination.EXPERT,
            opcode=Opcode.EXPERTS,
            buffer=RESIDUAL,
            counter=Counter.RESIDUAL,
            counted_by="experts",
            factor="score",
            adds=True,
        ),
        DestinationInfo(
            destination=Destination.SCORE,
            opcode=Opcode.SCORES,
            buffer=SCORE,
            counter=Counter.SCORE,
            counted_by="softmax",
            parameters="scalars",
        ),
        DestinationInfo(
            destination=Destination.CONTEXT,
            opcode=Opcode.CONTEXT,
            buffer=ACTIVATION,
            counter=Counter.CONTEXT,
            parameters="row_factor",
        ),
        DestinationInfo(
            destination=Destination.GATE,
            opcode=Opcode.LINEAR,
            buffer=None,
            counter=Counter.GATE,
            counted_by="gate",
        ),
        DestinationInfo(destination=Destination.RESULT, opcode=Opcode.LINEAR, buffer=None, counter=Counter.RESULT),
    )
}


def destinations(**facts: object) -> tuple[Destination, ...]:
    """The destinations of which all ``facts`` (fields of `DestinationInfo`) are true, by number."""
    return tuple(
        item.destination
        for item in DESTINATIONS.values()
        if all(getattr(item, name) == value for name, value in facts.items())
    )


LINEAR_COUNTERS: dict[Destination, Counter] = {
    name: DESTINATIONS[name].counter for name in destinations(opcode=Opcode.LINEAR)
}
