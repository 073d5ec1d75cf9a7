"""SCORES: q.k of one head, with softmax statistics and row factors."""

from collections.abc import Sequence

from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import ACTIVATION, IMPORTANCE, KEY, ROW_FACTOR, SCORE
from hwgen.spec.isa import Counter, Destination, Opcode, Unit
from hwgen.spec.ops.op import (
    ROWS,
    SRC,
    WAIT_A,
    WAIT_B,
    Access,
    Field,
    Fields,
    Loop,
    Op,
    chunk_words,
    moves_nothing,
    rows_at,
    takes_nothing,
)
from hwgen.spec.order import Stage
from hwgen.spec.timing import score_cycles


def _reads(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    """Queries one by one, and every key, unless the multiplier makes every score zero; importances of other heads."""
    added = _observed(f, arch, own=True) if f["observe"] > 1 else ()
    if f["mult"] == 0:
        return added
    words = chunk_words(f["in_chunks"], arch)
    return (
        rows_at(ACTIVATION, f, "src", f["rows"], words, Stage.LOADER, by_row=True),
        Access(
            memory=KEY,
            base=f["key_offset"],
            stride=f["key_stride"],
            rows=f["keys"],
            words=words,
            stage=Stage.ISSUER,
        ),
        *added,
    )


def _writes(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    """Scores, and a row factor for every query."""
    tiles, rows = arch.words(f["keys"]), f["rows"]
    return (
        Access(memory=SCORE, base=f["score_base"], stride=tiles, rows=rows, words=tiles, stage=Stage.POST),
        Access(
            memory=ROW_FACTOR,
            base=f["slot"] * arch.max_tokens,
            stride=1,
            rows=rows,
            words=1,
            stage=Stage.SOFTMAX,
        ),
        *(_observed(f, arch, own=False) if f["observe"] else ()),
    )


def _observed(f: Fields, arch: ArchConfig, *, own: bool) -> tuple[Access, ...]:
    """Importances of every key, where the first row is looked at."""
    words = arch.words(f["keys"])
    return (Access(memory=IMPORTANCE, base=0, stride=words, rows=1, words=words, stage=Stage.SOFTMAX, own=own),)


def _tables(f: Fields) -> tuple[str, ...]:
    return ("exp2", "reciprocal")


def _counts(f: Fields) -> tuple[Counter, int]:
    return Counter.SCORE, f["rows"]


def _cycles(f: Fields, arch: ArchConfig, queues: Sequence[int]) -> int:
    return score_cycles(arch, f["rows"], arch.words(f["keys"]), f["in_chunks"])


def _destinations(f: Fields) -> tuple[Destination, ...]:
    return (Destination.SCORE,)


def _loop(f: Fields, arch: ArchConfig) -> Loop:
    return Loop(rows=f["rows"], out_tiles=arch.words(f["keys"]), chunks=f["in_chunks"])


OP = Op(
    opcode=Opcode.SCORES,
    unit=Unit.COMPUTE,
    meaning="q.k of one head in the reordered schedule, with softmax statistics and row factors",
    fields=(
        *WAIT_A,
        *WAIT_B,
        ROWS,
        Field("keys", 12, "keys"),
        Field("in_chunks", 10, "chunks of the head's padded dims"),
        *SRC,
        Field("key_offset", 10, "first word of the head in a key row"),
        Field("key_stride", 10, "words per key row (all heads)"),
        Field("score_base", 16, "word address of query 0 in the score buffer"),
        Field("slot", 1, "row-factor slot"),
        Field("mult", 16, "score M"),
        Field("shift", 6, "score S"),
        Field("bias", 32, "score bias", signed=True),
        Field("context_mult", 16, "Mc"),
        Field("context_shift", 6, "Sc"),
        Field("observe", 2, "importances of the keys of row 0: 0 none, 1 of the first head, 2 added to those so far"),
    ),
    reads=_reads,
    writes=_writes,
    tables=_tables,
    counts=_counts,
    takes=takes_nothing,
    moves=moves_nothing,
    cycles=_cycles,
    destinations=_destinations,
    loop=_loop,
)
