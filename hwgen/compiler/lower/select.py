"""Select: a list of the rows that go on, then the rows themselves, in front of each other."""

from collections.abc import Iterator, Mapping

from hwgen.compiler.counters import Span
from hwgen.compiler.listing import Produced
from hwgen.compiler.lower.face import Face, Limit, nothing
from hwgen.compiler.lower.linear import not_a_stream
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.places import Held, Place
from hwgen.compiler.walk import Walk
from hwgen.spec.buffers import LIST, RESIDUAL
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.layers import Attention, Restore, Select
from hwgen.spec.numerics import MAX_OBSERVED_HEADS, importance_weight


def lower(writer: Writer, layer: Select) -> None:
    """SELECT, which waits for the scores, and GATHER, which waits for the rows."""
    importance, kept, rows = layer.tensors()
    source, target = writer.places[layer.source.tensor], writer.places[layer.writes]
    listed = {"list_base": writer.places[layer.kept].base, "fuse": layer.fuse}
    fields = {
        **writer.complete(layer.scores.tensor),
        **listed,
        "rows": layer.rows,
        "prefix": layer.prefix,
        "keep": layer.keep,
        "fused_row": layer.rows if layer.fuse else 0,
        "weight": importance_weight(layer.heads),
        "src_base": source.base,
        "src_stride": source.stride,
    }
    chosen = tuple(
        Produced(tensor=item.name, channel="select", destination=None, shape=item.shape, rows=layer.rows)
        for item in (importance, kept)
    )
    writer.emit(Opcode.SELECT, layer.name, fields, produced=chosen)
    fields = {
        **writer.complete(layer.source.tensor),
        **listed,
        "rows": layer.left,
        "rows_in": layer.rows,
        "words": source.stride,
        "src_base": source.base,
        "src_stride": source.stride,
        **target.target(),
    }
    produced = (moved_rows(writer, layer.writes, rows.shape),)
    writer.emit(Opcode.GATHER, f"{layer.name}.rows", fields, produced=produced)
    # whoever reads them is a LAYERNORM, or another selection, in the queue behind
    writer.spans[layer.writes] = Span(counter=Counter.NONE, base=0, rows=layer.left)


def moved_rows(writer: Writer, tensor: str, shape: tuple[int, ...], only: str | None = None) -> Produced:
    """Whole rows as GATHER and SCATTER leave them; ``only`` those that a tensor names."""
    return Produced(
        tensor=tensor,
        channel="move",
        destination=None,
        shape=shape,
        rows=shape[0],
        groups=1,
        group_values=shape[1],
        group_words=writer.arch.words(shape[1]),
        only=only,
    )


def holds(walk: Walk, layer: Select) -> Iterator[Held]:
    """The list; and the rows, over those that come unless somebody wants these back."""
    again = any(isinstance(reader, Restore) for reader in walk.readers(layer.source.tensor))
    words = walk.row_words(walk.tensors[layer.writes])
    yield Held(tensor=layer.kept, memory=LIST, rows=layer.left, words=1)
    yield Held(
        tensor=layer.writes,
        memory=RESIDUAL,
        rows=layer.left + walk.spare_rows(layer.writes),
        words=words,
        into=None if again else layer.source.tensor,
    )


def limits(walk: Walk, layer: Select) -> Iterator[Limit]:
    """Importances and lists."""
    yield Limit(what="tokens", need=layer.rows, field="max_tokens")
    yield Limit(what="rows of a list", need=layer.left, field=LIST.size_field)
    yield Limit(what="channels", need=layer.columns, field="max_channels")


def refusals(walk: Walk, places: Mapping[str, Place], layer: Select) -> Iterator[str]:
    """What is no stream, or is not looked at by the first query of an attention."""
    yield from not_a_stream(walk, places, layer.name, layer.source.tensor)
    writer = walk.writer(layer.scores.tensor)
    if not isinstance(writer, Attention) or writer.scores != layer.scores.tensor or layer.scores.first:
        yield f"{layer.name}: reads {layer.scores.tensor}; give the scores of an attention, from row 0 on"
    elif layer.heads != writer.heads:
        yield f"{layer.name}: {layer.heads} heads, {writer.name} has {writer.heads}; make them equal"
    if layer.heads > MAX_OBSERVED_HEADS:
        yield f"{layer.name}: importances of {layer.heads} heads; the machine adds up those of {MAX_OBSERVED_HEADS}"
    if layer.fuse and not walk.arch.fuse_tokens:
        yield f"{layer.name}: fuses tokens, and the machine has no sum of rows; set fuse_tokens: true"


FACE = Face(lower=lower, holds=holds, streams=nothing, limits=limits, refusals=refusals)
