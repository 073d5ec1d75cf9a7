"""Clocks of every unit while a program is walked once: a first-order model of the whole machine."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from hwgen.compiler.cycles import expert_rows, linear_cycles, step_cycles
from hwgen.compiler.step import Step
from hwgen.compiler.streams import Layer, Stream
from hwgen.spec.arch import BEAT_BYTES, PARAM_BYTES, ArchConfig
from hwgen.spec.isa import FORMATS, Counter, Destination, Opcode, Unit

PIPELINE_CYCLES = 40  # from the last operand of a row until a reader may use it
HANDOVER_CYCLES = 6  # between two operations of the array

_WRITES = {
    Opcode.LOAD_POSITION: Counter.RESIDUAL,
    Opcode.LOAD_PATCHES: Counter.PATCH,
    Opcode.LAYERNORM: Counter.NORM,
    Opcode.SCORES: Counter.SCORE,
    Opcode.CONTEXT: Counter.CONTEXT,
    Opcode.EXPERTS: Counter.RESIDUAL,
}


@dataclass(frozen=True, kw_only=True)
class Interval:
    """When an instruction runs."""

    start_cycle: int
    end_cycle: int


@dataclass
class Ring:
    """Free space of a ring over time."""

    free: int
    releases: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])

    def fill(self, time: float, words: int, cycles_per_word: float) -> float:
        """Time at which ``words`` more are in the ring, loading from ``time`` on."""
        while True:
            now = min(self.free, words)
            self.free -= now
            words -= now
            time += now * cycles_per_word
            if not words:
                return time
            when, count = self.releases.popleft()
            time = max(time, when)
            self.free += count


@dataclass
class Timeline:
    """Walks a program in order; units run concurrently, each in its own order."""

    arch: ArchConfig
    bytes_per_cycle: float  # of DDR
    latency_cycles: int  # of DDR
    top_k: int

    def __post_init__(self) -> None:
        """Everything idle and empty."""
        arch, rate = self.arch, min(self.bytes_per_cycle, BEAT_BYTES * self.arch.weight_ports)
        entry = arch.output_lanes * PARAM_BYTES / rate
        self.norms, self.params, self.weights = (
            Ring(count) for count in (arch.norm_entries, arch.param_entries, arch.ring_words)
        )
        self.entry_cycles, self.tile_cycles = entry, arch.tile_bytes / rate
        self.dma = float(self.latency_cycles)
        self.free = dict.fromkeys(Unit, 0.0)
        self.first = dict.fromkeys(Counter, 0.0)  # first row of the counter's last writer
        self.last = dict.fromkeys(Counter, 0.0)  # its last row
        self.loads: dict[str, tuple[float, float]] = {}

    def walk(self, steps: Sequence[Step]) -> list[Interval]:
        """Intervals of all ``steps``; loads run ahead, so their times are known once their consumer was met."""
        intervals: dict[int, tuple[float, float]] = {}
        for index, step in enumerate(steps):
            if step.opcode is Opcode.END:
                finish = max(self.free.values())
                intervals[index] = (finish, finish)
            elif step.opcode is not Opcode.LOAD_WEIGHTS:
                intervals[index] = self._run(step)
        for index, step in enumerate(steps):
            if step.opcode is Opcode.LOAD_WEIGHTS:
                intervals[index] = self.loads[step.name]
        ordered = (intervals[index] for index in range(len(steps)))
        return [Interval(start_cycle=int(start), end_cycle=int(end)) for start, end in ordered]

    def _run(self, step: Step) -> tuple[float, float]:
        unit, f = FORMATS[step.opcode].unit, step.fields
        start = self.free[unit]
        by_row, whole = Counter(f.get("wait_a", 0)), Counter(f.get("wait_b", 0))
        if by_row:
            start = max(start, self.first[by_row])
        if whole:
            start = max(start, self.last[whole])
        end = self._work(step, start)
        if by_row:
            end = max(end, self.last[by_row] + PIPELINE_CYCLES)
        self.free[unit] = end + (HANDOVER_CYCLES if unit is Unit.COMPUTE else 0)
        self._written(step, start, end)
        return start, end

    def _written(self, step: Step, start: float, end: float) -> None:
        counter = _WRITES.get(step.opcode, Counter.NONE)
        if step.opcode is Opcode.LINEAR:
            counter = Counter[Destination(step.fields["destination"]).name]
        rounds = -(-step.fields.get("rows", 1) // self.arch.token_lanes)
        rounds = 1 if step.opcode is Opcode.EXPERTS else rounds
        self.last[counter] = end + PIPELINE_CYCLES
        self.first[counter] = start + (end - start) / rounds + PIPELINE_CYCLES

    def _work(self, step: Step, start: float) -> float:
        """End of an instruction that may start at ``start``."""
        if not step.streams:
            latency = self.latency_cycles if FORMATS[step.opcode].unit is Unit.IO else 0
            return start + latency + step_cycles(step, self.arch, self.top_k)
        rows = step.fields["rows"]
        split = expert_rows(rows, self.top_k, len(step.streams)) if step.opcode is Opcode.EXPERTS else [rows]
        for stream, count in zip(step.streams, split, strict=True):
            start = self._consume(step, stream, count, start)
        return start

    def _consume(self, step: Step, stream: Stream, rows: int, start: float) -> float:
        """End of the work on one stream."""
        begin = self.dma
        self.dma = self.norms.fill(self.dma, stream.norm_entries, self.entry_cycles)
        self.dma = self.params.fill(self.dma, stream.param_entries, self.entry_cycles)
        end = max(start, self.dma)
        if step.opcode is Opcode.LAYERNORM:
            end += step_cycles(step, self.arch, self.top_k)
            self.norms.releases.append((end, stream.norm_entries))
        for layer in stream.layers:
            end = self._layer(layer, rows, end)
        self.loads[stream.name] = (begin, self.dma)
        return end

    def _layer(self, layer: Layer, rows: int, start: float) -> float:
        """End of one layer; its tiles are free again as the last round of rows uses them."""
        rounds = -(-rows // self.arch.token_lanes)
        cycles = linear_cycles(self.arch, rows, layer.out_tiles, layer.in_chunks)
        last_round = cycles / max(rounds, 1)
        first_tile = self.dma + self.tile_cycles
        self.dma = self.weights.fill(self.dma, layer.tiles, self.tile_cycles)
        start = max(start, min(first_tile, self.dma) if rows else self.dma)
        end = max(start + cycles, self.dma + cycles - last_round, self.dma)
        for tile in reversed(range(layer.out_tiles)):
            when = end - last_round * tile / layer.out_tiles
            self.weights.releases.append((when, layer.in_chunks))
            self.params.releases.append((when, 1))
        return end
