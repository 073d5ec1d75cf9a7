"""LAYERNORM: rows of the residual stream, normalised, or as they are; a gain and an offset a channel make codes."""

from collections.abc import Mapping, Sequence

from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import NORM, NORM_RING, RESIDUAL
from hwgen.spec.isa import Counter, Opcode, Unit
from hwgen.spec.ops.op import DST, ROWS, SRC, WAIT_A, WAIT_B, Access, Field, Fields, Op, moves_nothing, none, rows_at
from hwgen.spec.order import Stage
from hwgen.spec.timing import norm_cycles


def _reads(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    return (rows_at(RESIDUAL, f, "src", f["rows"], f["words"], Stage.NORM, by_row=True),)


def _writes(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    return (rows_at(NORM, f, "dst", f["rows"], f["words"], Stage.NORM),)


def _tables(f: Fields) -> tuple[str, ...]:
    """Plain rows have no deviation."""
    return () if f.get("plain") else ("rsqrt",)


def _counts(f: Fields) -> tuple[Counter, int]:
    return Counter.NORM, f["rows"]


def _takes(f: Fields) -> Mapping[str, int]:
    """Offset and gain of one row."""
    return {NORM_RING.name: f["words"]}


def _cycles(f: Fields, arch: ArchConfig, queues: Sequence[int]) -> int:
    return norm_cycles(arch, f["rows"], f["words"])


OP = Op(
    opcode=Opcode.LAYERNORM,
    unit=Unit.NORM,
    meaning="normalise residual rows, or take them as they are, into the norm buffer",
    fields=(
        *WAIT_A,
        ROWS,
        Field("channels", 12, "C: true channel count"),
        Field("words", 10, "words per row, padding included"),
        *SRC,
        *DST,
        Field("shift", 6, "final shift"),
        *WAIT_B,
        Field("plain", 1, "rows are not normalised: gain and offset are of their values"),
    ),
    reads=_reads,
    writes=_writes,
    tables=_tables,
    counts=_counts,
    takes=_takes,
    moves=moves_nothing,
    cycles=_cycles,
    destinations=none,
    loop=None,
)
