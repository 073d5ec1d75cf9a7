"""DDR and the engines that read it: bandwidth, latency, refresh, and the weight loader with its rings."""

import itertools
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hwgen.estimator.clock import Process, Request, after
from hwgen.estimator.machine import Instruction, Machine, Ring
from hwgen.spec import choices, timing
from hwgen.spec.arch import BEAT_BYTES, ArchConfig
from hwgen.spec.board import Board
from hwgen.spec.isa import Unit

SAVED_BYTES = 8192  # bandwidth that DDR may save up while nobody asks
PAGE_BYTES = 4096  # bursts do not cross its multiples
IO_PORT, WEIGHT_PORTS, WRITE_PORT = "io", "weights", "write"
SINCE_GAP_CYCLES = 76  # accepted start behind the end of a gap: a simulation's, whose host writes registers first


class Burst(NamedTuple):
    """Cycle of the first beat, cycle behind the last one, beats."""

    start: int
    end: int
    beats: int


Bursts = Generator[Request, None, list[Burst]]


@dataclass
class Ddr:
    """Bursts in the order of their requests: a beat a cycle and port, all ports together at the board's rate."""

    board: Board
    _paid: float = 0.0  # when the bandwidth of everything served so far has come in
    _free: dict[str, int] = field(default_factory=dict[str, int])

    def serve(self, port: str, due: int, beats: int, pace: int = 1) -> tuple[int, int]:
        """First and end cycle of ``beats``, ``pace`` cycles a beat, not before ``due``."""
        rate = self.board.bytes_per_cycle
        start = self._outside_refresh(max(due, self._free.get(port, 0)))
        self._paid = max(self._paid, start - SAVED_BYTES / rate) + beats * BEAT_BYTES / rate
        end = max(self._through_refresh(start, beats * pace), math.ceil(self._paid))
        self._free[port] = end
        return start, end

    def _phase(self, time: int) -> int:
        """Cycles since the last refresh gap began; on a board the first one is anywhere."""
        ddr = self.board.ddr
        return (time + ddr.refresh_cycles + SINCE_GAP_CYCLES) % ddr.refresh_interval_cycles

    def _outside_refresh(self, time: int) -> int:
        return time + max(0, self.board.ddr.refresh_cycles - self._phase(time))

    def _through_refresh(self, start: int, cycles: int) -> int:
        """End of ``cycles`` of work from ``start`` on; refresh gaps interrupt it."""
        ddr = self.board.ddr
        more = cycles - (ddr.refresh_interval_cycles - self._phase(start))
        gaps = 0 if more <= 0 else 1 + (more - 1) // (ddr.refresh_interval_cycles - ddr.refresh_cycles)
        return start + cycles + gaps * ddr.refresh_cycles


@dataclass
class ReadEngine:
    """Transfers in order on the port that program and IO share; each of the two has an engine."""

    machine: Machine
    ddr: Ddr
    issued: int = 0  # the latest address
    _ends: list[int] = field(default_factory=list[int])

    def read(self, command: int, beats: int, address: int, pace: int = 1) -> Bursts:
        """Every burst of a transfer from ``address`` on that is asked for at ``command``."""
        arch, latency = self.machine.arch, self.machine.board.ddr.read_latency_cycles
        most = reads_in_flight(arch, self.machine.board)
        issue = command + timing.COMMAND_LATENCY + timing.MUX_LATENCY
        bursts: list[Burst] = []
        while beats:
            size = burst_size(arch, address, beats)
            if len(self._ends) >= most:
                back = timing.BURST_INTERVAL - 1 + timing.MUX_LATENCY
                issue = max(issue, self._ends[-most] + back)
            yield issue
            self.issued = issue
            bursts.append(Burst(*self.ddr.serve(IO_PORT, issue + latency, size, pace=pace), size))
            self._ends.append(bursts[-1].end)
            issue, beats, address = issue + timing.BURST_INTERVAL, beats - size, address + size * BEAT_BYTES
        return bursts


def reads_in_flight(arch: ArchConfig, board: Board) -> int:
    """Bursts of reads that a port has under way at most: what the machine asks for, and what the board's port takes."""
    axi = board.axi
    limits = [arch.outstanding]
    if axi.read_commands:
        limits.append(axi.read_commands)
    if axi.read_buffer_beats:
        limits.append(max(1, axi.read_buffer_beats // arch.burst_beats))
    return min(limits)


def burst_size(arch: ArchConfig, address: int, beats: int) -> int:
    """Beats of the next burst of a transfer: as long as the machine makes them, and not across a page."""
    return min(beats, arch.burst_beats, (PAGE_BYTES - address % PAGE_BYTES) // BEAT_BYTES)


def last_beats(bursts: Sequence[Burst], step: int) -> list[int]:
    """Cycle of the last beat of every ``step`` beats of a transfer."""
    ends: list[int] = []
    gone = 0  # beats of the bursts before
    for start, end, beats in bursts:
        for last in range((len(ends) + 1) * step - gone, beats + 1, step):
            ends.append(start + last * (end - start) // beats - 1)
        gone += beats
    return ends


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Words that every port brings a slice of: one command a port."""

    push: int  # when the ports get it
    ring: int  # index
    words: int
    slice_beats: int  # of a word, on each port
    address: int  # of the slices of port 0


@dataclass
class WeightPort:
    """One port of the weight loader: cuts chunks into bursts, which do not cross pages of its own addresses."""

    machine: Machine
    ddr: Ddr
    name: str
    _issues: list[int] = field(default_factory=list[int])  # addresses of the bursts
    _ends: list[int] = field(default_factory=list[int])  # their last beats

    def send(self, chunk: Chunk, address: int) -> Generator[Request, None, list[int]]:
        """When every word of a chunk whose slices begin at ``address`` has come."""
        arch, latency = self.machine.arch, self.machine.board.ddr.read_latency_cycles
        most = reads_in_flight(arch, self.machine.board)
        slice_beats, total, gone = chunk.slice_beats, chunk.words * chunk.slice_beats, 0
        issue, words = chunk.push + 1 + timing.COMMAND_LATENCY, list[int]()
        while gone < total:
            size = burst_size(arch, address + gone * BEAT_BYTES, total - gone)
            interval = timing.BURST_INTERVAL + (gone == 0)
            issue = max(issue, self._issues[-1] + interval if self._issues else 0)
            if len(self._ends) >= most:
                issue = max(issue, self._ends[-most] + timing.BURST_INTERVAL - 1)
            yield issue
            start, end = self.ddr.serve(self.name, issue + latency, size)
            self._issues.append(issue)
            self._ends.append(end)
            for word in range(gone // slice_beats, (gone + size) // slice_beats):
                last = (word + 1) * slice_beats - gone  # beats of this burst up to the end of the word
                words.append(start + -(-last * (end - start) // size) - 1 + timing.RING_WRITE_LATENCY)
            gone += size
        self.machine.done(self._ends[-1])
        return words

    @property
    def last_issue(self) -> int:
        """When the last burst so far was asked for."""
        return self._issues[-1]


@dataclass
class WeightLoader:
    """Loads in order, in chunks of a burst on every port; a chunk waits for space in its ring."""

    machine: Machine
    ddr: Ddr

    def __post_init__(self) -> None:
        """Sizes of chunks, ring by ring: norm entries, parameters, weight tiles."""
        arch, track = self.machine.arch, self.machine.track
        rings = (self.machine.norms, self.machine.params, self.machine.weights)
        beats = (arch.param_beats, arch.param_beats, arch.tile_beats)
        self._rings: list[tuple[Ring, int, int]] = []  # ring, beats of a word and port, words of a chunk
        for ring, total in zip(rings, beats, strict=True):
            slice_beats = total // arch.weight_ports
            self._rings.append((ring, slice_beats, min(max(1, arch.burst_beats // slice_beats), ring.depth)))
        self._reserved = [0, 0, 0]
        self._chunks: list[tuple[Chunk, int]] = []  # and the stride from port to port
        self._pushed = track()
        self._engines = [track() for _ in range(arch.weight_ports)]  # chunks whose last burst a port has asked for
        self._slices = [[list[int]() for _ in rings] for _ in range(arch.weight_ports)]  # not yet whole words

    def processes(self) -> tuple[Process, ...]:
        """The planner, and every port."""
        return self._plan(), *(self._port(port) for port in range(self.machine.arch.weight_ports))

    def _plan(self) -> Process:
        """Load after load."""
        queue, time = self.machine.queues[Unit.LOAD], 0
        for number, item in enumerate(queue.items):
            entered = yield from after(0, queue.entered, number + 1)
            track, base = self.machine.waits(item, "wait_b")
            free = yield from after(0, track, base)
            time = max(time, entered + timing.LOAD_LATENCY, free + timing.LOAD_LATENCY - 1)
            self.machine.starts[item.index] = time
            queue.left.reach(time)
            time = yield from self._load(item, time + self.machine.arch.weight_ports)

    def _load(self, item: Instruction, time: int) -> Generator[Request, None, int]:
        """End of planning of one load whose addresses are known at ``time``."""
        f = item.step.fields
        address = f["offset"]
        for index, words in enumerate((f["norm_entries"], f["param_entries"], f["weight_words"])):
            ring, slice_beats, most = self._rings[index]
            while words:
                take = min(words, most)
                self._reserved[index] += take
                space = yield from after(0, ring.freed, self._reserved[index] - ring.depth)
                time = max(time + timing.CHUNK_INTERVAL, space + 2)
                for engine in self._engines:  # some commands wait for the engine of a port
                    time = yield from after(time, engine, len(self._chunks) + 1 - choices.COMMANDS_AHEAD)
                chunk = Chunk(push=time, ring=index, words=take, slice_beats=slice_beats, address=address)
                self._chunks.append((chunk, f["port_stride"]))
                self._pushed.reach(time)
                address += take * slice_beats * BEAT_BYTES
                words -= take
            time += 1
        self.machine.done(time)
        return time + timing.LOAD_OVERHEAD - len(self._rings)

    def _port(self, port: int) -> Process:
        """Chunk after chunk on one port; a word is there when its last slice is."""
        engine = WeightPort(self.machine, self.ddr, f"{WEIGHT_PORTS}.{port}")
        for number in itertools.count():
            yield self._pushed, number + 1
            chunk, stride = self._chunks[number]
            words = yield from engine.send(chunk, chunk.address + port * stride)
            self._slices[port][chunk.ring] += words
            self._engines[port].reach(engine.last_issue)
            waiting = [slices[chunk.ring] for slices in self._slices]
            while all(waiting):
                self._rings[chunk.ring][0].arrived.reach(max(slices.pop(0) for slices in waiting))
