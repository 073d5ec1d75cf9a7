"""Experts: both layers of every expert are one instruction, which takes its tokens from the queues."""

from collections.abc import Iterator, Mapping

from hwgen.compiler.lower.face import Face, Limit
from hwgen.compiler.lower.linear import not_a_stream
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.places import Held, Place
from hwgen.compiler.streams import Stream, expert_streams
from hwgen.compiler.walk import Walk
from hwgen.spec.buffers import ACTIVATION, NORM, RESIDUAL
from hwgen.spec.isa import Counter, Destination, Opcode
from hwgen.spec.layers import Experts, Gate, Linear


def lower(writer: Writer, layer: Experts) -> None:
    """EXPERTS."""
    (tensor,) = layer.tensors()
    source, inner = writer.places[layer.source.tensor], writer.places[layer.codes]
    weights = streams(writer.walk, layer)
    first, second = weights[0].sections
    fields = {
        **writer.complete(layer.gate.tensor),
        "rows": layer.rows,
        "experts": layer.experts,
        "in_chunks": first.in_chunks,
        "hidden_tiles": first.out_tiles,
        "hidden_chunks": second.in_chunks,
        "out_tiles": second.out_tiles,
        "src_base": source.address(layer.source.first),
        "src_stride": source.stride,
        "hidden_base": inner.base,
        "hidden_stride": inner.stride,
        **writer.places[layer.writes].target(layer.into.first),
        **writer.hidden_codes(next(iter(layer.formats()))),
        "int4_first": first.format.code,
        "int4_second": second.format.code,
    }
    macs = 2 * layer.rows * layer.top_k * layer.columns * layer.hidden
    produced = (writer.produced(tensor, Destination.EXPERT),)
    writer.emit(Opcode.EXPERTS, layer.name, fields, weights, macs, produced, chosen=layer.top_k)
    writer.spans[layer.writes] = writer.progress.finish(Counter.RESIDUAL, layer.rows)


def holds(walk: Walk, layer: Experts) -> Iterator[Held]:
    """Hidden units of one expert at a time, and the residual stream."""
    (tensor,) = layer.tensors()
    yield Held(tensor=layer.codes, memory=ACTIVATION, rows=layer.rows, words=walk.arch.words(layer.hidden))
    yield Held(
        tensor=layer.writes,
        memory=RESIDUAL,
        rows=layer.rows + walk.spare_rows(layer.writes),
        words=walk.row_words(tensor),
        into=layer.into.tensor,
    )


def streams(walk: Walk, layer: Experts) -> tuple[Stream, ...]:
    """One an expert."""
    return expert_streams(walk, layer)


def limits(walk: Walk, layer: Experts) -> Iterator[Limit]:
    """Queues and the depth of products."""
    yield Limit(what="tokens", need=layer.rows, field="max_tokens")
    yield Limit(what="experts", need=layer.experts, field="max_experts")
    yield Limit(what="hidden units", need=layer.hidden, field="max_inputs")
    yield Limit(what="inputs", need=layer.columns, field="max_inputs")


def refusals(walk: Walk, places: Mapping[str, Place], layer: Experts) -> Iterator[str]:
    """Queues name rows of whole tensors, and the operand loader reads them where it reads a linear layer's."""
    for rows in layer.reads():
        if walk.is_part(rows):
            yield f"{layer.name}: takes a part of {rows.tensor}; experts take all of it"
    yield from not_a_stream(walk, places, layer.name, layer.into.tensor)
    gate = walk.writer(layer.gate.tensor)
    if isinstance(gate, Linear) and isinstance(gate.finish, Gate) and gate.finish.top_k != layer.top_k:
        yield f"{layer.name}: top_k {layer.top_k}, its gate {gate.name} chooses {gate.finish.top_k}; make them equal"
    source = layer.source.tensor
    if source not in places or places[source].memory is not NORM:
        yield f"{layer.name}: reads {source}, which {walk.writer(source).name} leaves where experts do not read"


FACE = Face(lower=lower, holds=holds, streams=streams, limits=limits, refusals=refusals)
