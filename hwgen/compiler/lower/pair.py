"""Two linear layers whose rows between them do not fit: a block of rows through both, then the next block.

The rows between lie in the activation buffer, those of one block at a time; the weights are loaded again for each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from hwgen.compiler.lower.linear import destination_of, lower_rows
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.walk import Walk
from hwgen.spec.buffers import ACTIVATION
from hwgen.spec.destinations import DESTINATIONS
from hwgen.spec.layers import Linear, Residual


@dataclass(frozen=True)
class Pair:
    """A linear layer, and the one right behind it, which alone reads what it leaves."""

    first: Linear
    second: Linear


def pairs(walk: Walk) -> Iterator[Pair]:
    """Those that can go block by block, in order; a layer may be in two of them.

    The second one leaves its rows where any row can be written: in the stream or in the activation buffer. Banks count
    rows from the first of an instruction, the gate takes all tokens from one, and results leave when all are there.
    """
    for first, second in pairwise(walk.layers):
        if isinstance(first, Linear) and isinstance(second, Linear) and walk.readers(first.writes) == [second]:
            added = isinstance(second.finish, Residual)
            if _between(walk, first) and (added or _between(walk, second)):
                yield Pair(first, second)


def _between(walk: Walk, layer: Linear) -> bool:
    """Whether a layer leaves its rows in the activation buffer."""
    return DESTINATIONS[destination_of(walk, layer)].buffer is ACTIVATION


def blocked_pairs(walk: Walk) -> dict[str, Pair]:
    """Name of the first layer -> pair, of those that do go block by block."""
    return {pair.first.name: pair for pair in pairs(walk) if pair.first.name in walk.blocks}


def lower(writer: Writer, pair: Pair) -> None:
    """Both layers, block after block."""
    source = pair.second.source.first
    for block in writer.walk.blocks[pair.first.name]:
        writer.hold(pair.first.writes, block)
        lower_rows(writer, pair.first, block)
        taken = range(max(block.start - source, 0), min(block.stop - source, pair.second.rows))
        if taken:
            lower_rows(writer, pair.second, taken)
