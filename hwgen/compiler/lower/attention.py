"""Attention: scores and context of every head, interleaved so that the array never waits for row factors."""

from collections.abc import Iterator

from hwgen.compiler.counters import Span
from hwgen.compiler.listing import Produced
from hwgen.compiler.lower.writer import Writer
from hwgen.spec.isa import Counter, Destination, Opcode
from hwgen.spec.layers import Attention


def head_order(heads: int) -> Iterator[tuple[Opcode, int]]:
    """SCORES and CONTEXT of every head; the scores of the next head run before the context of this one."""
    yield Opcode.SCORES, 0
    for head in range(heads):
        if head + 1 < heads:
            yield Opcode.SCORES, head + 1
        yield Opcode.CONTEXT, head


def lower(writer: Writer, layer: Attention) -> None:
    """SCORES and CONTEXT; ValueError for a part of the queries, keys or values, which has no instruction yet."""
    for rows in layer.reads():
        if (rows.first, rows.count or writer.tensors[rows.tensor].rows) != (0, writer.tensors[rows.tensor].rows):
            raise ValueError(f"{layer.name}: takes a part of {rows.tensor}; attention takes all of it")
    scored: dict[int, Span] = {}
    for opcode, head in head_order(layer.heads):
        if opcode is Opcode.SCORES:
            scored[head] = _scores(writer, layer, head)
        else:
            writer.spans[layer.writes] = _context(writer, layer, head, scored[head])


def _slot(writer: Writer, layer: Attention, head: int) -> dict[str, int]:
    """Where the scores and row factors of ``head`` lie: heads take turns in two slots."""
    slot = head % 2
    base = slot * (writer.arch.score_words // 2)
    return {"rows": layer.queries, "keys": layer.keys, "score_base": base, "slot": slot}


def _macs(layer: Attention) -> int:
    return layer.queries * layer.keys * (layer.columns // layer.heads)


def _scores(writer: Writer, layer: Attention, head: int) -> Span:
    query, tensor = writer.buffers.query, writer.tensors[layer.query.tensor]
    words = writer.group_words(tensor)
    offset = head * words
    fields = {
        **writer.spans[layer.query.tensor].row_by_row(),
        **writer.spans[layer.key.tensor].complete(),
        **_slot(writer, layer, head),
        "in_chunks": words * writer.arch.subwords,
        "src_base": query.base + offset,
        "src_stride": query.stride,
        "key_offset": offset,
        "key_stride": writer.row_words(tensor),
        "mult": writer.scalar(f"{layer.name}.scores.mult", head),
        "shift": writer.scalar(f"{layer.name}.scores.shift", head),
        "bias": writer.scalar(f"{layer.name}.scores.bias", head),
        "context_mult": writer.scalar(f"{layer.name}.context.mult"),
        "context_shift": writer.scalar(f"{layer.name}.context.shift"),
    }
    produced = Produced(
        tensor=layer.scores,
        channel="post",
        destination=Destination.SCORE,
        shape=layer.tensors()[0].shape,
        rows=layer.queries,
        index=(head,),
        group_values=layer.keys,
        group_words=writer.arch.words(layer.keys),
    )
    writer.emit(Opcode.SCORES, f"{layer.scores}.{head}", fields, (), _macs(layer), (produced,))
    return writer.progress.finish(Counter.SCORE, layer.queries)


def _context(writer: Writer, layer: Attention, head: int, scored: Span) -> Span:
    context, tensor = writer.buffers.context, layer.tensors()[1]
    words, columns = writer.group_words(tensor), layer.columns // layer.heads
    offset = head * words
    fields = {
        **scored.row_by_row(),
        **writer.spans[layer.value.tensor].complete(),
        **_slot(writer, layer, head),
        "out_tiles": words,
        "value_offset": offset,
        "value_stride": writer.row_words(writer.tensors[layer.value.tensor]),
        "dst_base": context.base + offset,
        "dst_stride": context.stride,
    }
    produced = Produced(
        tensor=layer.writes,
        channel="post",
        destination=Destination.CONTEXT,
        shape=tensor.shape,
        rows=layer.queries,
        column_offset=head * columns,
        group_values=columns,
        group_words=words,
    )
    writer.emit(Opcode.CONTEXT, f"{layer.writes}.{head}", fields, (), _macs(layer), (produced,))
    return writer.progress.finish(Counter.CONTEXT, layer.queries)
