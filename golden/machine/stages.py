"""The stages of the machine, and what each of them knows to be over when it starts a row.

A stage takes its rows in program order; an *event* is one row in one stage. The stages of the compute unit number
their events alike: event n of `Stage.POST` is what has become of event n of `Stage.LOADER`. EXPERTS is one event; so is
an instruction without rows.
A *clock* says for every stage how many of its events are over, all their reads and writes done; clocks of the rows of
an instruction, [rows, stages], never decrease from row to row.
"""

from enum import IntEnum

import numpy as np

from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import IMPORTANCE, RESIDUAL, ROW_FACTOR, MemoryInfo
from hwgen.spec.destinations import DESTINATIONS
from hwgen.spec.isa import Destination, Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.ops.op import Fields
from hwgen.spec.tables import Int64Array


class Stage(IntEnum):
    """Whoever reads or writes; the issuer's reads of keys and values count as the loader's, for POST is behind both."""

    LOADER = 0
    POST = 1
    SOFTMAX = 2
    GATE = 3
    NORM = 4
    IO = 5
    LOAD = 6  # the weight loader: touches no buffer, but it waits


UNIT = {Stage.NORM: Unit.NORM, Stage.IO: Unit.IO, Stage.LOAD: Unit.LOAD}  # the others belong to COMPUTE
FIRST = {Unit.COMPUTE: Stage.LOADER, Unit.NORM: Stage.NORM, Unit.IO: Stage.IO, Unit.LOAD: Stage.LOAD}
_COUNTS = {"post": Stage.POST, "softmax": Stage.SOFTMAX, "gate": Stage.GATE, "experts": Stage.POST}


def nothing() -> Int64Array:
    """The clock at the start of a program."""
    return np.zeros(len(Stage), dtype=np.int64)


def readers(unit: Unit, memory: MemoryInfo) -> tuple[Stage, ...]:
    """Which stages of a unit read a buffer."""
    if unit != Unit.COMPUTE:
        return (FIRST[unit],)
    if memory is ROW_FACTOR:  # the octave beside the scores; multiplier and shift at the end
        return (Stage.LOADER, Stage.POST)
    return (Stage.POST if memory is RESIDUAL else Stage.LOADER,)


def writer(unit: Unit, memory: MemoryInfo) -> Stage:
    """Which stage of a unit writes a buffer."""
    if unit != Unit.COMPUTE:
        return FIRST[unit]
    return Stage.SOFTMAX if memory in (ROW_FACTOR, IMPORTANCE) else Stage.POST


def counting(opcode: Opcode, f: Fields) -> Stage:
    """Which stage counts the rows of an instruction."""
    unit = OPS[opcode].unit
    if unit != Unit.COMPUTE:
        return FIRST[unit]
    return _COUNTS[DESTINATIONS[OPS[opcode].destinations(f)[-1]].counted_by]


def table_users(opcode: Opcode, f: Fields) -> tuple[tuple[str, Stage], ...]:
    """The function tables that an instruction uses, and where."""
    if opcode == Opcode.LINEAR and f["destination"] == Destination.GATE:
        return (("gate_exp2", Stage.GATE), ("reciprocal", Stage.GATE))
    if opcode == Opcode.LAYERNORM and f["plain"]:
        return ()
    gelu = opcode == Opcode.EXPERTS or (opcode == Opcode.LINEAR and f["destination"] == Destination.HIDDEN)
    others: dict[Opcode, tuple[tuple[str, Stage], ...]] = {
        Opcode.SCORES: (("exp2", Stage.SOFTMAX), ("reciprocal", Stage.SOFTMAX)),
        Opcode.CONTEXT: (("exp2", Stage.LOADER),),
        Opcode.LAYERNORM: (("rsqrt", Stage.NORM),),
    }
    return (("gelu", Stage.POST),) if gelu else others.get(opcode, ())


def last_of_tile(opcode: Opcode, rows: int, arch: ArchConfig) -> Int64Array:
    """For every row, the last one that has been loaded before its first word leaves POST, [rows].

    All rows of its tile; SCORES takes its queries one by one.
    """
    row = np.arange(rows)
    if opcode == Opcode.SCORES:
        return row
    lanes = arch.token_lanes
    return np.minimum(row // lanes * lanes + lanes - 1, rows - 1)


class EventClocks:
    """Numbers of the events of one instruction, [rows], and the clocks with which every stage starts them."""

    def __init__(self, first: Stage, numbers: Int64Array, clocks: Int64Array) -> None:
        """``clocks`` [rows, stages]: what the waits have made sure of for the ``first`` stage of the unit."""
        clocks[:, first] = numbers - 1
        self.first, self.numbers, self.clocks = first, numbers, {first: clocks}

    def follow(self, ends: Int64Array, loads: int) -> None:
        """The later stages of the compute unit: POST is behind the loader's tile of rows (`last_of_tile`).

        ``loads``: as many LOAD_WEIGHTS have brought what the instruction needs.
        """
        post = self.clocks[Stage.LOADER][ends]
        post[:, Stage.LOADER] = self.numbers[ends]
        post[:, Stage.POST] = self.numbers - 1
        np.maximum(post[:, Stage.LOAD], loads, out=post[:, Stage.LOAD])
        self.clocks[Stage.POST] = post
        for stage in (Stage.SOFTMAX, Stage.GATE):
            behind = self.clocks[stage] = post.copy()
            behind[:, Stage.POST] = self.numbers
            behind[:, stage] = self.numbers - 1

    def done(self, stage: Stage) -> Int64Array:
        """Clocks when a stage has finished the events, [rows, stages]."""
        clocks = self.clocks[stage].copy()
        clocks[:, stage] = self.numbers
        return clocks
