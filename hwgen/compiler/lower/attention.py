"""Attention: scores and context of every head, interleaved so that the array never waits for row factors."""

from collections.abc import Iterator, Mapping

from hwgen.compiler.counters import Span
from hwgen.compiler.listing import Produced
from hwgen.compiler.lower.face import Face, Limit, nothing
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.places import Held, Place
from hwgen.compiler.walk import Walk
from hwgen.spec.buffers import ACTIVATION, KEY, SCORE_SLOTS, VALUE
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
    """SCORES and CONTEXT."""
    scored: dict[int, Span] = {}
    for opcode, head in head_order(layer.heads):
        if opcode is Opcode.SCORES:
            scored[head] = _scores(writer, layer, head)
        else:
            writer.spans[layer.writes] = _context(writer, layer, head, scored[head])


def score_slot(writer: Writer, rows: int, keys: int, head: int) -> dict[str, int]:
    """Where the scores and row factors of ``head`` lie: heads take turns in two slots."""
    slot = head % SCORE_SLOTS
    base = slot * (writer.arch.score_words // SCORE_SLOTS)
    return {"rows": rows, "keys": keys, "score_base": base, "slot": slot}


def _macs(layer: Attention) -> int:
    return layer.queries * layer.keys * (layer.columns // layer.heads)


def _scores(writer: Writer, layer: Attention, head: int) -> Span:
    query, key = writer.places[layer.query.tensor], writer.places[layer.key.tensor]
    words = writer.walk.group_words(writer.tensors[layer.query.tensor])
    offset = head * words
    fields = {
        **writer.by_row(layer.query.tensor),
        **writer.complete(layer.key.tensor),
        **score_slot(writer, layer.queries, layer.keys, head),
        "in_chunks": words * writer.arch.subwords,
        "src_base": query.base + offset,
        "src_stride": query.stride,
        "key_offset": key.base + offset,
        "key_stride": key.stride,
        "mult": writer.scalar(f"{layer.name}.scores.mult", head),
        "shift": writer.scalar(f"{layer.name}.scores.shift", head),
        "bias": writer.scalar(f"{layer.name}.scores.bias", head),
        "context_mult": writer.scalar(f"{layer.name}.context.mult"),
        "context_shift": writer.scalar(f"{layer.name}.context.shift"),
    }
    produced = produced_scores(writer, layer.scores, layer.tensors()[0].shape, head)
    writer.emit(Opcode.SCORES, f"{layer.scores}.{head}", fields, (), _macs(layer), (produced,))
    return writer.progress.finish(Counter.SCORE, layer.queries)


def produced_scores(writer: Writer, tensor: str, shape: tuple[int, ...], head: int) -> Produced:
    """The scores of a head, as SCORES leaves them: a tensor [heads, queries, keys]."""
    return Produced(
        tensor=tensor,
        channel="post",
        destination=Destination.SCORE,
        shape=shape,
        rows=shape[1],
        index=(head,),
        group_values=shape[2],
        group_words=writer.arch.words(shape[2]),
    )


def _context(writer: Writer, layer: Attention, head: int, scored: Span) -> Span:
    value, context = writer.places[layer.value.tensor], writer.places[layer.writes]
    tensor = layer.tensors()[1]
    words, columns = writer.walk.group_words(tensor), layer.columns // layer.heads
    offset = head * words
    fields = {
        **scored.row_by_row(),
        **writer.complete(layer.value.tensor),
        **score_slot(writer, layer.queries, layer.keys, head),
        "out_tiles": words,
        "value_offset": value.base + offset,
        "value_stride": value.stride,
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


def holds(walk: Walk, layer: Attention) -> Iterator[Held]:
    """The weighted means; scores have two fixed slots."""
    _, context = layer.tensors()
    yield Held(tensor=layer.writes, memory=ACTIVATION, rows=layer.queries, words=walk.row_words(context))


def limits(walk: Walk, layer: Attention) -> Iterator[Limit]:
    """Row factors, score slots, and the depth of products."""
    yield Limit(what="tokens", need=max(layer.queries, layer.keys), field="max_tokens")
    yield Limit(what="keys", need=layer.keys, field="max_inputs")
    yield score_limit(walk, layer.queries, layer.keys)


def score_limit(walk: Walk, queries: int, keys: int) -> Limit:
    """The score buffer holds two heads."""
    return Limit(what="words of scores", need=SCORE_SLOTS * queries * walk.arch.words(keys), field="score_words")


def refusals(walk: Walk, places: Mapping[str, Place], layer: Attention) -> Iterator[str]:
    """A part of the queries, keys or values has no instruction yet; each lies in a buffer of its own."""
    wanted = zip(layer.reads(), (ACTIVATION, KEY, VALUE), strict=True)
    for rows, memory in wanted:
        if walk.is_part(rows):
            yield f"{layer.name}: takes a part of {rows.tensor}; attention takes all of it"
        groups = walk.tensors[rows.tensor].groups
        if groups != layer.heads:
            yield f"{layer.name}: has {layer.heads} heads, {rows.tensor} has {groups}; make them equal"
        if rows.tensor not in places or places[rows.tensor].memory is not memory:
            writer = walk.writer(rows.tensor).name
            yield f"{layer.name}: takes {rows.tensor} from the {memory.name} buffer, where {writer} does not leave it"


FACE = Face(lower=lower, holds=holds, streams=nothing, limits=limits, refusals=refusals)
