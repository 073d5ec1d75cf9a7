"""Program fetch, dispatch, and the IO engine: tables, positions, patches and results."""

from dataclasses import dataclass

from hwgen.estimator.clock import Process, Wait, after
from hwgen.estimator.dram import WRITE_PORT, ReadEngine, last_beats
from hwgen.estimator.machine import Instruction, Machine
from hwgen.spec import choices, timing
from hwgen.spec.arch import BEAT_BYTES
from hwgen.spec.isa import FETCH_BYTES, INSTRUCTION_BYTES, Counter, Opcode, Unit
from hwgen.spec.ops import OPS

CHUNK = FETCH_BYTES // INSTRUCTION_BYTES
_WRITE_LATENCY = 3  # request of a burst of results to its first beat: plan, address, data


@dataclass
class Sequencer:
    """Fetches the program in pieces and hands instructions to the queues of their units, in order."""

    machine: Machine
    engine: ReadEngine

    def __post_init__(self) -> None:
        """Instructions that have come, and that have been handed on."""
        self.fetched, self.dispatched = self.machine.track(), self.machine.track()

    def fetch(self) -> Process:
        """A piece when the queue has room for it."""
        time, beats = timing.START_LATENCY - timing.COMMAND_LATENCY, FETCH_BYTES // BEAT_BYTES
        for first in range(0, len(self.machine.program), CHUNK):
            time = yield from after(time, self.dispatched, first + CHUNK - choices.FETCH_AHEAD)
            bursts = yield from self.engine.read(time, beats, first * INSTRUCTION_BYTES)
            for beat in last_beats(bursts, INSTRUCTION_BYTES // BEAT_BYTES):
                self.fetched.reach(beat + timing.FETCH_LATENCY)
            time = bursts[-1].end + 1

    def dispatch(self) -> Process:
        """One a cycle while there is room in the queues."""
        time = 0
        for item in self.machine.program:
            time = yield from after(time + 1, self.fetched, item.index + 1)
            unit = OPS[item.step.opcode].unit
            if unit is Unit.CONTROL:
                self.machine.done(time)
                return
            queue = self.machine.queues[unit]
            depth = choices.QUEUE_DEPTH.get(unit, self.machine.arch.load_queue)
            time = yield from after(time, queue.left, len(queue.entered.times) + 1 - depth)
            self.dispatched.reach(time)
            queue.entered.reach(time + timing.DISPATCH_LATENCY)


@dataclass
class IoEngine:
    """One instruction at a time."""

    machine: Machine
    engine: ReadEngine

    def run(self) -> Process:
        """Take, start, wait for the end."""
        queue, time = self.machine.queues[Unit.IO], 0
        work = {
            Opcode.LOAD_TABLE: self._table,
            Opcode.LOAD_POSITION: self._position,
            Opcode.LOAD_PATCHES: self._patches,
            Opcode.STORE: self._store,
        }
        for number, item in enumerate(queue.items):
            time = yield from after(time, queue.entered, number + 1)
            queue.left.reach(time)
            time = yield from self.machine.passed(item, time + 1)
            self.machine.starts[item.index] = time
            time = yield from work[item.step.opcode](item, time)
            time += timing.IO_OVERHEAD - 2
            self.machine.done(time)

    def _table(self, item: Instruction, start: int) -> Wait:
        f, entries = item.step.fields, BEAT_BYTES // 4
        bursts = yield from self.engine.read(start + 2, f["words"] // entries, f["offset"], pace=entries)
        return bursts[-1].end

    def _position(self, item: Instruction, start: int) -> Wait:
        f, arch = item.step.fields, self.machine.arch
        row_beats = f["row_words"] * 2 * arch.output_lanes // BEAT_BYTES
        bursts = yield from self.engine.read(start + 3, f["rows"] * row_beats, f["offset"])
        for end in last_beats(bursts, row_beats):
            self.machine.count(Counter.RESIDUAL, end + timing.POSITION_WRITE_LATENCY)
        return bursts[-1].end + 1

    def _patches(self, item: Instruction, start: int) -> Wait:
        f, arch, command = item.step.fields, self.machine.arch, start + 3
        pace = 1 if f["patch"] % 16 == 0 and arch.output_lanes > 8 else 2
        band_bytes = f["patch"] * f["width"]  # of one plane
        end = command
        for band in range(f["patch_rows"]):
            for channel in range(f["channels"]):
                address = channel * f["plane_bytes"] + band * band_bytes  # of an image that begins a page
                bursts = yield from self.engine.read(command, band_bytes // BEAT_BYTES, address, pace)
                command, end = self.engine.issued + 1, bursts[-1].end
            self.machine.count(Counter.PATCH, end - 1 + timing.PATCH_WRITE_LATENCY, f["patch_columns"])
        return end + timing.PATCH_WRITE_LATENCY

    def _store(self, item: Instruction, start: int) -> Wait:
        """Bursts whenever their words have come; the end is the last response."""
        arch, time = self.machine.arch, start
        word_beats = 2 * arch.output_lanes // BEAT_BYTES
        most = min(max(1, arch.burst_beats // word_beats), arch.result_words)
        left, sent = item.step.fields["beats"] // word_beats, 0
        latency, ends = self.machine.board.ddr.read_latency_cycles, list[int]()
        while left:
            take = min(left, most)
            time = yield from after(time, self.machine.result_words, sent + take)
            if len(ends) >= arch.outstanding:  # bursts whose response has not come
                time = max(time, ends[-arch.outstanding] + latency - 1)
            yield time
            _, time = self.engine.ddr.serve(WRITE_PORT, time + _WRITE_LATENCY, take * word_beats)
            ends.append(time)
            for word in range(take):
                self.machine.stored_words.reach(time - 1 - (take - 1 - word) * word_beats)
            left, sent = left - take, sent + take
        return time + latency
