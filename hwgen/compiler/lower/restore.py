"""Restore: the rows that went on go back among those that did not."""

from collections.abc import Iterator, Mapping

from hwgen.compiler.counters import Span
from hwgen.compiler.lower.face import Face, nothing
from hwgen.compiler.lower.linear import not_a_stream
from hwgen.compiler.lower.select import moved_rows
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.places import Held, Place
from hwgen.compiler.walk import Walk
from hwgen.spec.buffers import RESIDUAL
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.layers import Restore


def lower(writer: Writer, layer: Restore) -> None:
    """SCATTER."""
    here, there = writer.places[layer.source.tensor], writer.places[layer.before.tensor]
    kept = layer.kept.tensor
    fields = {
        **writer.complete(layer.source.tensor),
        "list_base": writer.places[kept].base,
        "rows": writer.tensors[kept].shape[0],
        "rows_out": layer.rows,
        "words": there.stride,
        "src_base": here.base,
        "src_stride": here.stride,
        **there.target(),
    }
    produced = (moved_rows(writer, layer.writes, layer.tensors()[0].shape, kept),)
    writer.emit(Opcode.SCATTER, layer.name, fields, produced=produced)
    writer.spans[layer.writes] = Span(counter=Counter.NONE, base=0, rows=layer.rows)


def holds(walk: Walk, layer: Restore) -> Iterator[Held]:
    """The stream before, as it is now."""
    rows, words = layer.rows + walk.spare_rows(layer.writes), walk.row_words(walk.tensors[layer.writes])
    yield Held(tensor=layer.writes, memory=RESIDUAL, rows=rows, words=words, into=layer.before.tensor)


def refusals(walk: Walk, places: Mapping[str, Place], layer: Restore) -> Iterator[str]:
    """What is no stream."""
    for rows in (layer.before, layer.source):
        yield from not_a_stream(walk, places, layer.name, rows.tensor)


FACE = Face(lower=lower, holds=holds, streams=nothing, limits=nothing, refusals=refusals)
