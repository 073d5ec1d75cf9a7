"""Attention: scores and context of every head, interleaved so that the array never waits for row factors.

Where the score buffer does not hold the scores of a head twice, the queries come in blocks: every head of a block, then
the next block. A row is done when its block is; CONTEXT counts it once for every head.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hwgen.compiler.counters import Span
from hwgen.compiler.listing import Produced
from hwgen.compiler.lower.face import Face, Limit, nothing
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.parts import row_runs
from hwgen.compiler.places import Held, Place
from hwgen.compiler.walk import Walk
from hwgen.spec.buffers import ACTIVATION, KEY, SCORE_SLOTS, VALUE
from hwgen.spec.isa import Counter, Destination, Opcode
from hwgen.spec.layers import Attention


@dataclass(frozen=True)
class _Scored:
    """What one SCORES and the CONTEXT behind it work on."""

    number: int  # in the order of the program
    head: int
    queries: range
    suffix: str  # of the names of both instructions


def slot_order(count: int) -> Iterator[tuple[Opcode, int]]:
    """SCORES and CONTEXT of ``count`` heads or blocks of them; the next scores run before the context of these."""
    yield Opcode.SCORES, 0
    for number in range(count):
        if number + 1 < count:
            yield Opcode.SCORES, number + 1
        yield Opcode.CONTEXT, number


def lower(writer: Writer, layer: Attention) -> None:
    """SCORES and CONTEXT."""
    items, scored = _items(writer.walk, layer), dict[int, Span]()
    for opcode, number in slot_order(len(items)):
        if opcode is Opcode.SCORES:
            scored[number] = _scores(writer, layer, items[number])
        else:
            _context(writer, layer, items[number], scored[number])
    writer.spans[layer.writes] = writer.progress.latest(Counter.CONTEXT, layer.queries)
    writer.spans[layer.scores] = writer.progress.latest(Counter.SCORE, layer.queries)


def _items(walk: Walk, layer: Attention) -> list[_Scored]:
    """Every head of every block of queries; of one block there is nothing to say in a name."""
    blocks = query_blocks(walk, layer)
    whole = len(blocks) == 1
    found = [(head, block) for block in blocks for head in range(layer.heads)]
    return [
        _Scored(number, head, block, f"{head}" if whole else f"{head}.rows{block.start}-{block.stop - 1}")
        for number, (head, block) in enumerate(found)
    ]


def query_blocks(walk: Walk, layer: Attention) -> list[range]:
    """As many queries at a time as a slot of the score buffer holds."""
    holds = walk.arch.score_words // SCORE_SLOTS // walk.arch.words(layer.keys)
    asked = walk.parts.query_rows
    return row_runs(layer.queries, max(1, holds if asked is None else min(holds, asked)), walk.arch.token_lanes)


def score_slot(writer: Writer, rows: int, keys: int, number: int) -> dict[str, int]:
    """Where the scores and row factors of the ``number``-th SCORES of a layer lie: they take turns in two slots."""
    slot = number % SCORE_SLOTS
    base = slot * (writer.arch.score_words // SCORE_SLOTS)
    return {"rows": rows, "keys": keys, "score_base": base, "slot": slot}


def _macs(layer: Attention, item: _Scored) -> int:
    return len(item.queries) * layer.keys * (layer.columns // layer.heads)


def _scores(writer: Writer, layer: Attention, item: _Scored) -> Span:
    query, key = writer.places[layer.query.tensor], writer.places[layer.key.tensor]
    words = writer.walk.group_words(writer.tensors[layer.query.tensor])
    head, queries = item.head, item.queries
    offset = head * words
    fields = {
        **writer.by_row(layer.query.tensor, queries.start),
        **writer.complete(layer.key.tensor),
        **score_slot(writer, len(queries), layer.keys, item.number),
        "in_chunks": words * writer.arch.subwords,
        "src_base": query.address(queries.start) + offset,
        "src_stride": query.stride,
        "key_offset": key.base + offset,
        "key_stride": key.stride,
        "mult": writer.scalar(f"{layer.name}.scores.mult", head),
        "shift": writer.scalar(f"{layer.name}.scores.shift", head),
        "bias": writer.scalar(f"{layer.name}.scores.bias", head),
        "context_mult": writer.scalar(f"{layer.name}.context.mult"),
        "context_shift": writer.scalar(f"{layer.name}.context.shift"),
        **_observed(writer, layer, item),
    }
    produced = produced_scores(writer, layer.scores, layer.tensors()[0].shape, head, queries)
    name = f"{layer.scores}.{item.suffix}"
    writer.emit(Opcode.SCORES, name, fields, (), _macs(layer, item), (produced,))
    return writer.progress.finish(Counter.SCORE, len(queries))


def _observed(writer: Writer, layer: Attention, item: _Scored) -> dict[str, int]:
    """How much the first query looks at every key, where somebody asks; its other heads come behind the first."""
    if item.queries.start or not writer.walk.readers(layer.scores):
        return {}
    return {"observe": 2 if item.head else 1}


def produced_scores(writer: Writer, tensor: str, shape: tuple[int, ...], head: int, queries: range) -> Produced:
    """Scores of a head, as SCORES leaves them: of a tensor [heads, queries, keys]."""
    return Produced(
        tensor=tensor,
        channel="post",
        destination=Destination.SCORE,
        shape=shape,
        rows=len(queries),
        row_offset=queries.start,
        index=(head,),
        group_values=shape[2],
        group_words=writer.arch.words(shape[2]),
    )


def _context(writer: Writer, layer: Attention, item: _Scored, scored: Span) -> None:
    value, context = writer.places[layer.value.tensor], writer.places[layer.writes]
    tensor, queries = layer.tensors()[1], item.queries
    words = writer.walk.group_words(tensor)
    offset = item.head * words
    fields = {
        **scored.row_by_row(),
        **writer.complete(layer.value.tensor),
        **score_slot(writer, len(queries), layer.keys, item.number),
        "out_tiles": words,
        "value_offset": value.base + offset,
        "value_stride": value.stride,
        **context.target(queries.start, offset),
    }
    written = range(offset, offset + words)
    produced = writer.produced(tensor, Destination.CONTEXT, queries.start, len(queries), written)
    name = f"{layer.writes}.{item.suffix}"
    writer.emit(Opcode.CONTEXT, name, fields, (), _macs(layer, item), (produced,))
    writer.progress.finish(Counter.CONTEXT, len(queries))


def holds(walk: Walk, layer: Attention) -> Iterator[Held]:
    """The weighted means; scores have two fixed slots."""
    _, context = layer.tensors()
    yield Held(tensor=layer.writes, memory=ACTIVATION, rows=layer.queries, words=walk.row_words(context))


def limits(walk: Walk, layer: Attention) -> Iterator[Limit]:
    """Row factors, score slots, and the depth of products."""
    yield Limit(what="tokens", need=max(layer.queries, layer.keys), field="max_tokens")
    yield Limit(what="keys", need=layer.keys, field="max_inputs")
    yield score_limit(walk, layer.keys)


def score_limit(walk: Walk, keys: int) -> Limit:
    """Each slot of the score buffer holds one query."""
    return Limit(what="words of scores", need=SCORE_SLOTS * walk.arch.words(keys), field="score_words")


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
