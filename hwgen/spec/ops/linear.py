"""LINEAR: rows times weights from the ring, finished as the destination says."""

from collections.abc import Mapping, Sequence

from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import ACTIVATION, NORM, PARAM_RING, WEIGHT_RING
from hwgen.spec.destinations import DESTINATIONS, DestinationInfo
from hwgen.spec.isa import Counter, Destination, Opcode, Source, Unit
from hwgen.spec.ops.op import (
    DST,
    GELU,
    ROWS,
    SRC,
    WAIT_A,
    WAIT_B,
    ZERO,
    Access,
    Field,
    Fields,
    Loop,
    Op,
    chunk_words,
    moves_nothing,
    rows_at,
)
from hwgen.spec.order import Stage
from hwgen.spec.timing import linear_cycles
from hwgen.spec.weight_formats import BY_CODE

SOURCES = {Source.NORM: NORM, Source.ACTIVATION: ACTIVATION}


def _destination(f: Fields) -> DestinationInfo:
    return DESTINATIONS[Destination(f["destination"])]


def _target(f: Fields, own: bool) -> tuple[Access, ...]:
    """The rows that it leaves, where they lie in a buffer."""
    buffer = _destination(f).buffer
    if buffer is None:
        return ()
    return (rows_at(buffer, f, "dst", f["rows"], f["out_tiles"], Stage.POST, own=own),)


def _reads(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    """The rows, and the residual that they are added to."""
    words = chunk_words(f["in_chunks"], arch)
    rows = rows_at(SOURCES[Source(f["source"])], f, "src", f["rows"], words, Stage.LOADER, by_row=True)
    return (rows, *(_target(f, own=True) if _destination(f).adds else ()))


def _writes(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    return _target(f, own=False)


def _tables(f: Fields) -> tuple[str, ...]:
    """Of GELU, and of a gate's scores."""
    if _destination(f).factor == "gelu":
        return ("gelu",)
    return ("gate_exp2", "reciprocal") if f["destination"] == Destination.GATE else ()


def _counts(f: Fields) -> tuple[Counter, int]:
    return _destination(f).counter, f["rows"]


def _takes(f: Fields) -> Mapping[str, int]:
    """A tile's parameters and weights, once, whatever the number of rows."""
    words = BY_CODE[f["int4"]].words(f["in_chunks"])
    return {PARAM_RING.name: f["out_tiles"], WEIGHT_RING.name: f["out_tiles"] * words}


def _cycles(f: Fields, arch: ArchConfig, queues: Sequence[int]) -> int:
    return linear_cycles(arch, f["rows"], f["out_tiles"], f["in_chunks"])


def _destinations(f: Fields) -> tuple[Destination, ...]:
    return (Destination(f["destination"]),)


def _loop(f: Fields, arch: ArchConfig) -> Loop:
    return Loop(rows=f["rows"], out_tiles=f["out_tiles"], chunks=f["in_chunks"])


OP = Op(
    opcode=Opcode.LINEAR,
    unit=Unit.COMPUTE,
    meaning="rows x weight tiles from the ring, finished as the destination says",
    fields=(
        *WAIT_A,
        *WAIT_B,
        ROWS,
        Field("in_chunks", 10, "input chunks of input_lanes values"),
        Field("out_tiles", 10, "output tiles of output_lanes channels"),
        Field("source", 1, "Source"),
        *SRC,
        Field("destination", 4, "Destination"),
        *DST,
        *GELU,
        Field("experts", 6, "GATE: experts"),
        Field("top_k", 6, "GATE: experts chosen per token"),
        Field("renormalise", 1, "GATE: scores of the chosen experts sum to one"),
        Field("int4", 1, "weights have four bits: a ring word holds two input chunks of an output tile"),
        ZERO,
    ),
    reads=_reads,
    writes=_writes,
    tables=_tables,
    counts=_counts,
    takes=_takes,
    moves=moves_nothing,
    cycles=_cycles,
    destinations=_destinations,
    loop=_loop,
)
