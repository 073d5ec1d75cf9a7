"""CONTEXT: p.v of one head; scores become probabilities on their way."""

from collections.abc import Sequence
from dataclasses import replace

from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import ACTIVATION, ROW_FACTOR, SCORE, VALUE
from hwgen.spec.isa import Counter, Destination, Opcode, Unit
from hwgen.spec.ops.op import (
    DST,
    ROWS,
    WAIT_A,
    WAIT_B,
    Access,
    Field,
    Fields,
    Loop,
    Op,
    moves_nothing,
    rows_at,
    takes_nothing,
)
from hwgen.spec.order import Stage
from hwgen.spec.timing import linear_cycles


def _reads(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    """Scores and octaves one by one; every value; then the rest of the row factors."""
    tiles, rows = arch.words(f["keys"]), f["rows"]
    factor = Access(
        memory=ROW_FACTOR,
        base=f["slot"] * arch.max_tokens,
        stride=1,
        rows=rows,
        words=1,
        stage=Stage.LOADER,
        by_row=True,
    )
    return (
        Access(
            memory=SCORE,
            base=f["score_base"],
            stride=tiles,
            rows=rows,
            words=tiles,
            stage=Stage.LOADER,
            by_row=True,
        ),
        factor,
        Access(
            memory=VALUE,
            base=f["value_offset"],
            stride=f["value_stride"],
            rows=f["keys"],
            words=f["out_tiles"],
            stage=Stage.ISSUER,
        ),
        replace(factor, stage=Stage.POST),
    )


def _writes(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    return (rows_at(ACTIVATION, f, "dst", f["rows"], f["out_tiles"], Stage.POST),)


def _tables(f: Fields) -> tuple[str, ...]:
    return ("exp2",)


def _counts(f: Fields) -> tuple[Counter, int]:
    return Counter.CONTEXT, f["rows"]


def _cycles(f: Fields, arch: ArchConfig, queues: Sequence[int]) -> int:
    return linear_cycles(arch, f["rows"], f["out_tiles"], arch.chunks(f["keys"]))


def _destinations(f: Fields) -> tuple[Destination, ...]:
    return (Destination.CONTEXT,)


def _loop(f: Fields, arch: ArchConfig) -> Loop:
    return Loop(rows=f["rows"], out_tiles=f["out_tiles"], chunks=arch.chunks(f["keys"]))


OP = Op(
    opcode=Opcode.CONTEXT,
    unit=Unit.COMPUTE,
    meaning="p.v of one head; probabilities from the score buffer",
    fields=(
        *WAIT_A,
        *WAIT_B,
        ROWS,
        Field("keys", 12, "keys"),
        Field("out_tiles", 10, "words of the head's padded dims"),
        Field("value_offset", 10, "first word of the head in a value row"),
        Field("value_stride", 10, "words per value row (all heads)"),
        Field("score_base", 16, "word address of query 0 in the score buffer"),
        Field("slot", 1, "row-factor slot"),
        *DST,
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
