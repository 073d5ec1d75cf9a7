"""Everything on the chip of the golden machine: buffers, rings, tables, queues, results, and what was produced."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from golden.machine.buffers import Buffer
from golden.machine.progress import Guard, IllegalProgramError, Progress
from golden.machine.rings import Loader, Ring, Words
from golden.queues import ExpertQueue
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import BUFFERS, LIST, NORM_RING, PARAM_RING, ROW_FACTOR, WEIGHT_RING, MemoryInfo
from hwgen.spec.tables import Int64Array

Fields = dict[str, int]


class TraceEntry(NamedTuple):
    """What one instruction produced: a tensor [rows, values] of the named stream, and which rows they are."""

    pc: int
    name: str
    rows: Int64Array
    tensor: Int64Array


def _buffer(info: MemoryInfo, arch: ArchConfig) -> Buffer:
    """An empty buffer; a row factor is held as octave, multiplier and shift, an entry of a list as a row."""
    values = {ROW_FACTOR.name: 3, LIST.name: 1}.get(info.name, arch.output_lanes)
    return Buffer(info.name, info.words(arch), values, banks=info.bank_count(arch))


@dataclass
class MachineState:
    """Everything on the chip."""

    arch: ArchConfig
    dispatch_load: Callable[[], bool]  # starts the next load of the program, if the sequencer would
    progress: Progress = field(default_factory=Progress)
    tables: dict[str, Int64Array] = field(default_factory=dict[str, Int64Array])
    queues: list[ExpertQueue] = field(default_factory=list[ExpertQueue])
    results: list[bytes] = field(default_factory=list[bytes])
    dropped: Int64Array = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))  # rows and weights
    trace: list[TraceEntry] = field(default_factory=list[TraceEntry])

    def __post_init__(self) -> None:
        """Empty buffers and rings of the sizes that the arch names."""
        arch = self.arch
        self.buffers = {info.name: _buffer(info, arch) for info in BUFFERS}
        self.residual, self.norm, self.activation, self.key, self.value, self.score, self.row_factor, *others = (
            self.buffers.values()
        )
        self.importance, self.list = others
        self.weights = Ring("weight", WEIGHT_RING.words(arch))
        self.params = Ring("parameter", PARAM_RING.words(arch))
        self.norms = Ring("norm-parameter", NORM_RING.words(arch))
        self.rings = {WEIGHT_RING.name: self.weights, PARAM_RING.name: self.params, NORM_RING.name: self.norms}
        self.loader = Loader(self.dispatch_load)

    def table(self, guard: Guard, name: str) -> Int64Array:
        """A loaded table."""
        if name not in self.tables:
            raise IllegalProgramError(guard.pc, f"{guard.opcode.name} uses table {name}, which is not loaded")
        return self.tables[name]

    def take(self, guard: Guard, needs: list[tuple[Ring, int]], *, together: bool) -> list[Words]:
        """The oldest words of some rings. ``together``: all of them must be there at once, because they are used again
        and again; otherwise each is freed as soon as it has been used.
        """
        taken: list[Words] = []
        for ring, count in needs:
            parts = [] if together else self._stream(ring, count)
            got = sum(len(part) for part in parts)
            self.loader.bring(ring, count - got)
            if ring.words < count - got:
                state = "with loads waiting for space" if self.loader.waiting else "after all loads before it"
                raise IllegalProgramError(
                    guard.pc,
                    f"{guard.opcode.name} needs {count} words of the {ring.name} ring,"
                    f" which holds {ring.words + got} of {ring.depth} {state}",
                )
            taken.append(np.concatenate(parts) if parts else np.zeros((0, 1), dtype=np.uint8))
        if together:
            taken = [ring.take(count) for ring, count in needs]
        return taken

    def _stream(self, ring: Ring, count: int) -> list[Words]:
        """Up to ``count`` words, taken as they arrive."""
        parts: list[Words] = []
        while count:
            self.loader.bring(ring, 1)
            step = min(ring.words, count)
            if not step:
                break
            parts.append(ring.take(step))
            count -= step
        return parts

    def keep(self, guard: Guard, name: str, rows: Int64Array, tensor: Int64Array) -> None:
        """Note what an instruction produced."""
        self.trace.append(TraceEntry(guard.pc, name, rows.copy(), tensor.copy()))
