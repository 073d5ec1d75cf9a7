"""Pool: the rows pass to the value buffer as they are, then one query weighs them alike.

SCORES with a multiplier of zero leaves zeros whatever it reads, so that the softmax of every row is the same.
"""

from collections.abc import Iterator, Mapping

from hwgen.compiler.counters import Span
from hwgen.compiler.lower.attention import produced_scores, score_limit, score_slot
from hwgen.compiler.lower.face import Face, Limit
from hwgen.compiler.lower.linear import source_fields, unreadable
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.places import Held, Place
from hwgen.compiler.streams import Stream, identity_streams
from hwgen.compiler.walk import Walk
from hwgen.spec.buffers import ACTIVATION, VALUE
from hwgen.spec.isa import Counter, Destination, Opcode
from hwgen.spec.layers import Pool


def lower(writer: Writer, layer: Pool) -> None:
    """LINEAR by the identity, SCORES of nothing, CONTEXT."""
    values, scored = _values(writer, layer), _scores(writer, layer)
    place, (_, _, tensor) = writer.places[layer.values], layer.tensors()
    fields = {
        **scored.row_by_row(),
        **values.complete(),
        **score_slot(writer, 1, layer.rows, 0),
        "out_tiles": writer.walk.row_words(tensor),
        "value_offset": place.base,
        "value_stride": place.stride,
        **writer.places[layer.writes].target(),
    }
    produced = (writer.produced(tensor, Destination.CONTEXT),)
    writer.emit(Opcode.CONTEXT, layer.writes, fields, (), layer.rows * layer.columns, produced)
    writer.spans[layer.writes] = writer.progress.finish(Counter.CONTEXT, 1)


def _values(writer: Writer, layer: Pool) -> Span:
    """The rows where CONTEXT reads them; products with ones and zeros are no work of the network."""
    for stream in streams(writer.walk, layer):
        (part,) = stream.sections
        fields = {
            **writer.by_row(layer.source.tensor, layer.source.first),
            **source_fields(writer.places[layer.source.tensor], layer.source.first),
            "destination": Destination.VALUE,
            **writer.places[layer.values].target(word=part.first_tile),
            "rows": layer.rows,
            "in_chunks": part.in_chunks,
            "out_tiles": part.out_tiles,
            "int4": part.format.code,
        }
        produced = (writer.produced(layer.tensors()[0], Destination.VALUE, words=part.tiles),)
        writer.emit(Opcode.LINEAR, stream.name, fields, (stream,), 0, produced)
        writer.progress.finish(Counter.VALUE, layer.rows)
    return writer.progress.latest(Counter.VALUE, layer.rows)


def _scores(writer: Writer, layer: Pool) -> Span:
    """One query of one chunk: no cycle is spent on what is multiplied by zero."""
    scale = {f"context_{part}": writer.scalar(f"{layer.name}.context.{part}") for part in ("mult", "shift")}
    fields = {**score_slot(writer, 1, layer.rows, 0), "in_chunks": 1, **scale}
    produced = (produced_scores(writer, layer.scores, layer.tensors()[1].shape, 0, range(1)),)
    writer.emit(Opcode.SCORES, layer.scores, fields, (), 0, produced)
    return writer.progress.finish(Counter.SCORE, 1)


def holds(walk: Walk, layer: Pool) -> Iterator[Held]:
    """Values, and their mean."""
    values, _, mean = layer.tensors()
    yield Held(tensor=values.name, memory=VALUE, rows=layer.rows, words=walk.row_words(values))
    yield Held(tensor=mean.name, memory=ACTIVATION, rows=1, words=walk.row_words(mean))


def streams(walk: Walk, layer: Pool) -> tuple[Stream, ...]:
    """The identity."""
    return identity_streams(walk, layer.tensors()[0], layer.source.tensor)


def limits(walk: Walk, layer: Pool) -> Iterator[Limit]:
    """Those of attention with one query."""
    yield Limit(what="tokens", need=layer.rows, field="max_tokens")
    yield Limit(what="rows", need=layer.rows, field="max_inputs")
    inputs = walk.tensors[layer.source.tensor]
    yield Limit(what="inputs", need=inputs.padded_columns, field="max_inputs")
    yield score_limit(walk, layer.rows)


def refusals(walk: Walk, places: Mapping[str, Place], layer: Pool) -> Iterator[str]:
    """Rows that lie where the operand loader does not read."""
    yield from unreadable(walk, places, layer.name, layer.source.tensor)


FACE = Face(lower=lower, holds=holds, streams=streams, limits=limits, refusals=refusals)
