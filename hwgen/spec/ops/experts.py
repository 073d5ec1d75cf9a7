"""EXPERTS: both layers of every expert over the tokens of its queue."""

from collections.abc import Mapping, Sequence

from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import ACTIVATION, NORM, PARAM_RING, RESIDUAL, WEIGHT_RING
from hwgen.spec.isa import Counter, Destination, Opcode, Unit
from hwgen.spec.ops.op import (
    DST,
    GELU,
    ROWS,
    SRC,
    WAIT_B,
    ZERO,
    Access,
    Field,
    Fields,
    Op,
    chunk_words,
    moves_nothing,
    rows_at,
)
from hwgen.spec.order import Stage
from hwgen.spec.timing import linear_cycles
from hwgen.spec.weight_formats import BY_CODE


def _hidden(f: Fields, stage: Stage, own: bool) -> Access:
    """Hidden rows of one expert after the other, by position in its queue: as many as there are tokens, at most."""
    return rows_at(ACTIVATION, f, "hidden", f["rows"], f["hidden_tiles"], stage, by_queue=True, own=own)


def _residual(f: Fields, own: bool) -> Access:
    return rows_at(RESIDUAL, f, "dst", f["rows"], f["out_tiles"], Stage.POST, by_queue=True, own=own)


def _reads(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    """Tokens, their hidden units, and the residual that their outputs are added to."""
    tokens = rows_at(NORM, f, "src", f["rows"], chunk_words(f["in_chunks"], arch), Stage.LOADER, by_queue=True)
    return (tokens, _hidden(f, Stage.LOADER, own=True), _residual(f, own=True))


def _writes(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    return (_hidden(f, Stage.POST, own=False), _residual(f, own=False))


def _tables(f: Fields) -> tuple[str, ...]:
    return ("gelu",)


def _counts(f: Fields) -> tuple[Counter, int]:
    """All rows at its end."""
    return Counter.RESIDUAL, f["rows"]


def expert_layers(f: Fields) -> list[Mapping[str, int]]:
    """What each layer of each expert takes of the rings, in order, with tokens or without."""
    first = f["hidden_tiles"] * BY_CODE[f["int4_first"]].words(f["in_chunks"])
    second = f["out_tiles"] * BY_CODE[f["int4_second"]].words(f["hidden_chunks"])
    layers = ((f["hidden_tiles"], first), (f["out_tiles"], second))
    return [{PARAM_RING.name: tiles, WEIGHT_RING.name: words} for tiles, words in layers] * f["experts"]


def _takes(f: Fields) -> Mapping[str, int]:
    """All of that."""
    layers = expert_layers(f)
    return {ring: sum(layer[ring] for layer in layers) for ring in (PARAM_RING.name, WEIGHT_RING.name)}


def _cycles(f: Fields, arch: ArchConfig, queues: Sequence[int]) -> int:
    return sum(
        linear_cycles(arch, rows, f["hidden_tiles"], f["in_chunks"])
        + linear_cycles(arch, rows, f["out_tiles"], f["hidden_chunks"])
        for rows in queues
    )


def _destinations(f: Fields) -> tuple[Destination, ...]:
    return (Destination.HIDDEN, Destination.EXPERT)


OP = Op(
    opcode=Opcode.EXPERTS,
    unit=Unit.COMPUTE,
    meaning="every expert of the meta-queue over its token queue, both layers, into the residual",
    fields=(
        *WAIT_B,
        ROWS,
        Field("experts", 6, "experts whose weights are in the stream"),
        Field("in_chunks", 10, "first layer: input chunks"),
        Field("hidden_tiles", 10, "first layer: output tiles"),
        Field("hidden_chunks", 10, "second layer: input chunks"),
        Field("out_tiles", 10, "second layer: output tiles"),
        *SRC,
        Field("hidden_base", 16, "word address of queue position 0 in the activation buffer"),
        Field("hidden_stride", 10, "words from row to row"),
        *DST,
        *GELU,
        Field("int4_first", 1, "weights of the first layer have four bits"),
        Field("int4_second", 1, "weights of the second layer have four bits"),
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
    loop=None,
)
