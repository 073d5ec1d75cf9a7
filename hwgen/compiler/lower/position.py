"""Position: the table is loaded into the residual buffer."""

from collections.abc import Iterator

from hwgen.compiler.lower.face import Face, Limit, nothing
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.places import Held
from hwgen.compiler.walk import Walk
from hwgen.spec.buffers import RESIDUAL
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.layers import Position


def lower(writer: Writer, layer: Position) -> None:
    """LOAD_POSITION."""
    (tensor,) = layer.tensors()
    fields = {
        "offset": writer.offsets[layer.name],
        "rows": layer.rows,
        "row_words": writer.walk.row_words(tensor),
        "dst_base": writer.places[layer.writes].base,
    }
    writer.emit(Opcode.LOAD_POSITION, layer.name, fields)
    writer.spans[layer.writes] = writer.progress.finish(Counter.RESIDUAL, layer.rows)


def holds(walk: Walk, layer: Position) -> Iterator[Held]:
    """The residual stream begins."""
    (tensor,) = layer.tensors()
    rows = layer.rows + walk.spare_rows(layer.writes)
    yield Held(tensor=layer.writes, memory=RESIDUAL, rows=rows, words=walk.row_words(tensor))


def limits(walk: Walk, layer: Position) -> Iterator[Limit]:
    """One row a token."""
    yield Limit(what="tokens", need=layer.rows, field="max_tokens")
    yield Limit(what="channels", need=layer.columns, field="max_channels")


FACE = Face(lower=lower, holds=holds, streams=nothing, limits=limits, refusals=nothing)
