"""Norm: rows of the residual stream into the norm buffer, only those that somebody reads."""

from collections.abc import Iterator, Mapping

from hwgen.compiler.lower.face import Face, Limit
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.places import Held, Place
from hwgen.compiler.streams import Stream, norm_stream
from hwgen.compiler.walk import Walk
from hwgen.spec.buffers import NORM, RESIDUAL
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.layers import Norm


def lower(writer: Writer, layer: Norm) -> None:
    """LAYERNORM."""
    (tensor,) = layer.tensors()
    source, place = writer.places[layer.source.tensor], writer.places[layer.writes]
    read = layer.source.first + place.first
    fields = {
        **writer.by_row(layer.source.tensor, read),
        "rows": place.rows,
        "channels": layer.columns,
        "words": place.stride,
        "src_base": source.address(read),
        "src_stride": source.stride,
        **place.target(),
        "shift": writer.scalar(f"{layer.name}.shift"),
        **({"plain": 1} if layer.plain else {}),
    }
    produced = (writer.produced(tensor, None, place.first, place.rows),)
    writer.emit(Opcode.LAYERNORM, layer.name, fields, streams(writer.walk, layer), 0, produced)
    writer.spans[layer.writes] = writer.progress.finish(Counter.NORM, place.rows, first_row=place.first)


def holds(walk: Walk, layer: Norm) -> Iterator[Held]:
    """The rows that somebody reads."""
    (tensor,) = layer.tensors()
    first, rows = walk.demanded(layer.writes)
    yield Held(tensor=layer.writes, memory=NORM, rows=rows, words=walk.row_words(tensor), first=first)


def streams(walk: Walk, layer: Norm) -> tuple[Stream, ...]:
    """Gains and offsets."""
    return (norm_stream(walk, layer),)


def limits(walk: Walk, layer: Norm) -> Iterator[Limit]:
    """The unit counts channels."""
    yield Limit(what="channels", need=layer.columns, field="max_channels")


def refusals(walk: Walk, places: Mapping[str, Place], layer: Norm) -> Iterator[str]:
    """The unit reads the residual buffer and nothing else."""
    source = layer.source.tensor
    if source not in places or places[source].memory is not RESIDUAL:
        yield f"{layer.name}: reads {source}, which is no residual stream ({walk.writer(source).name} leaves it)"


FACE = Face(lower=lower, holds=holds, streams=streams, limits=limits, refusals=refusals)
