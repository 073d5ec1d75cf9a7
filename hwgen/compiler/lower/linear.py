"""Linear: weights from the ring, and what its finish asks of the post-processor."""

from collections.abc import Iterator, Mapping

from hwgen.compiler.listing import Produced
from hwgen.compiler.lower.face import Face, Limit
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.places import Held, Place
from hwgen.compiler.streams import Section, Stream, linear_streams
from hwgen.compiler.walk import Walk
from hwgen.spec.arch import BEAT_BYTES
from hwgen.spec.buffers import RESIDUAL
from hwgen.spec.destinations import DESTINATIONS
from hwgen.spec.isa import Destination, Opcode
from hwgen.spec.layers import (
    Attention,
    Codes,
    Gate,
    Gelu,
    Linear,
    Position,
    Residual,
    Result,
)
from hwgen.spec.layout import result_bytes
from hwgen.spec.ops.linear import SOURCES

_FINISHES = {
    Gelu: Destination.HIDDEN,
    Residual: Destination.RESIDUAL,
    Gate: Destination.GATE,
    Result: Destination.RESULT,
}
_READABLE = {memory.name: source for source, memory in SOURCES.items()}


def lower(writer: Writer, layer: Linear) -> None:
    """LINEAR, and the STORE of a result."""
    lower_rows(writer, layer, range(layer.rows))
    if isinstance(layer.finish, Result):
        size = result_bytes(layer.rows, layer.outputs, writer.arch)
        writer.emit(Opcode.STORE, "store", {"beats": size // BEAT_BYTES})


def lower_rows(writer: Writer, layer: Linear, rows: range) -> None:
    """LINEAR of some of its rows, one for each part of the weights; the rows before them have been made."""
    destination = destination_of(writer.walk, layer)
    counter, first = DESTINATIONS[destination].counter, _first(layer)
    suffix = f".rows{rows.start}-{rows.stop - 1}" if len(rows) < layer.rows else ""
    for stream in streams(writer.walk, layer):
        (part,) = stream.sections
        written, *chosen = _produced(writer, layer, destination, rows, part)
        fields = {
            **_waits(writer, layer, rows, part),
            **source_fields(writer.places[layer.source.tensor], layer.source.first + rows.start),
            **_target(writer, layer, destination, rows, part),
            "rows": len(rows),
            "in_chunks": part.in_chunks,
            "out_tiles": part.out_tiles,
            "int4": part.format.code,
        }
        macs = layer.inputs * written.values
        writer.emit(Opcode.LINEAR, stream.name + suffix, fields, (stream,), macs, (written, *chosen))
        writer.progress.finish(counter, len(rows))
    writer.spans[layer.writes] = writer.progress.latest(counter, rows.stop, first_row=first)


def source_fields(place: Place, row: int) -> dict[str, int]:
    """Where a LINEAR reads its rows, from ``row`` of the tensor on."""
    source = _READABLE[place.memory.name]
    return {"source": source, "src_base": place.address(row), "src_stride": place.stride}


def _first(layer: Linear) -> int:
    """First row of the tensor that it writes."""
    return layer.finish.into.first if isinstance(layer.finish, Residual) else 0


def destination_of(walk: Walk, layer: Linear) -> Destination:
    """Where its rows go: codes where their first reader wants them, the activation buffer when that does not matter."""
    if not isinstance(layer.finish, Codes):
        return _FINISHES[type(layer.finish)]
    for reader in walk.readers(layer.writes):
        if isinstance(reader, Attention):
            roles = {reader.key.tensor: Destination.KEY, reader.value.tensor: Destination.VALUE}
            return roles.get(layer.writes, Destination.QUERY)
    return Destination.QUERY


def _waits(writer: Writer, layer: Linear, rows: range, part: Section) -> dict[str, int]:
    """Rows as they come; the residual stream at once, when IO has begun it: for the rest of the layer it is there."""
    waits = writer.by_row(layer.source.tensor, layer.source.first + rows.start + layer.beside - 1)
    if isinstance(layer.finish, Residual) and rows.start == part.first_tile == 0:
        stream = layer.finish.into.tensor
        if isinstance(writer.walk.writer(stream), Position):
            waits |= writer.complete(stream)
    return waits


def _target(writer: Writer, layer: Linear, destination: Destination, rows: range, part: Section) -> Mapping[str, int]:
    """Where its rows go, and what is done on the way."""
    fields: dict[str, int] = {"destination": destination}
    if layer.writes in writer.places:
        fields |= writer.places[layer.writes].target(_first(layer) + rows.start, part.first_tile)
    match layer.finish:
        case Gate() as gate:
            return fields | {"experts": layer.outputs, "top_k": gate.top_k, "renormalise": gate.renormalise}
        case Gelu():
            return fields | writer.hidden_codes(layer.name)
        case Codes() | Residual() | Result():
            return fields


def _produced(
    writer: Writer, layer: Linear, destination: Destination, rows: range, part: Section
) -> tuple[Produced, ...]:
    """Its tensor, or a part of it; behind a gate also what was chosen."""
    tensor, *chosen = layer.tensors()
    following = (
        Produced(tensor=item.name, channel="gate", destination=None, shape=item.shape, rows=layer.rows)
        for item in chosen
    )
    return (writer.produced(tensor, destination, _first(layer) + rows.start, len(rows), part.tiles), *following)


def holds(walk: Walk, layer: Linear) -> Iterator[Held]:
    """Its rows, unless they are a stream."""
    tensor, memory = layer.tensors()[0], DESTINATIONS[destination_of(walk, layer)].buffer
    into = layer.finish.into.tensor if isinstance(layer.finish, Residual) else None
    if memory is not None:
        rows = walk.held_rows(layer) if into is None else tensor.rows + walk.spare_rows(tensor.name)
        yield Held(tensor=tensor.name, memory=memory, rows=rows, words=walk.row_words(tensor), into=into)


def streams(walk: Walk, layer: Linear) -> tuple[Stream, ...]:
    """Its weights, in parts where they do not fit and can be cut."""
    return linear_streams(walk, layer, whole=not _can_be_cut(walk, layer))


def _can_be_cut(walk: Walk, layer: Linear) -> bool:
    """Whether several instructions can leave its rows.

    The gate takes all logits of a token from one. Results leave in the order of rows, and their STORE comes behind the
    last of them, so that all of them have to find room before.
    """
    match layer.finish:
        case Codes() | Gelu() | Residual():
            return True
        case Gate():
            return False
        case Result():
            size = result_bytes(layer.rows, layer.outputs, walk.arch)
            return layer.rows <= walk.arch.token_lanes and size <= walk.arch.result_beats * BEAT_BYTES


def limits(walk: Walk, layer: Linear) -> Iterator[Limit]:
    """The depth of products, padding counted, and what a gate may choose from."""
    inputs = walk.tensors[layer.source.tensor]
    padded = inputs.heads is not None or layer.beside > 1
    count = walk.row_words(inputs) * walk.arch.output_lanes * layer.beside if padded else inputs.padded_columns
    yield Limit(what="inputs", need=count, field="max_inputs")
    if isinstance(layer.finish, Gate):
        yield Limit(what="experts", need=layer.outputs, field="max_experts")


def refusals(walk: Walk, places: Mapping[str, Place], layer: Linear) -> Iterator[str]:
    """Rows that lie where the operand loader does not read."""
    yield from unreadable(walk, places, layer.name, layer.source.tensor)
    if isinstance(layer.finish, Residual):
        stream, behind = layer.finish.into, _first(layer) + layer.rows
        yield from not_a_stream(walk, places, layer.name, stream.tensor)
        if behind != layer.finish.rows:
            yield (
                f"{layer.name}: changes rows {stream.first}..{behind - 1} of {stream.tensor}, which has"
                f" {layer.finish.rows}; a change reaches to the last row, since rows are waited for in order"
            )


def not_a_stream(walk: Walk, places: Mapping[str, Place], name: str, into: str) -> Iterator[str]:
    """A sentence when what a layer adds to is no residual stream."""
    if into not in places or places[into].memory is not RESIDUAL:
        yield f"{name}: adds to {into}, which is no residual stream ({walk.writer(into).name} leaves it)"


def unreadable(walk: Walk, places: Mapping[str, Place], name: str, source: str) -> Iterator[str]:
    """A sentence when a LINEAR of layer ``name`` cannot read the tensor ``source``."""
    if source not in places or places[source].memory.name not in _READABLE:
        yield f"{name}: reads {source}, which {walk.writer(source).name} leaves where no linear layer can read it"


FACE = Face(lower=lower, holds=holds, streams=streams, limits=limits, refusals=refusals)
