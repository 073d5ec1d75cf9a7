"""DDR and the engines that read it: bandwidth, latency, refresh, and the weight loader with its rings."""

import math
from collections.abc import Generator
from dataclasses import dataclass, field

from hwgen.compiler.events import Process, Request, after
from hwgen.compiler.machine_model import Instruction, Machine, Ring
from hwgen.spec import timing
from hwgen.spec.arch import BEAT_BYTES
from hwgen.spec.board import Board
from hwgen.spec.isa import Unit

SAVED_BYTES = 8192  # bandwidth that DDR may save up while nobody asks
PAGE_BYTES = 4096  # bursts do not cross its multiples
IO_PORT, WEIGHT_PORTS, WRITE_PORT = "io", "weights", "write"
Bursts = Generator[Request, None, list[tuple[int, int]]]


@dataclass
class Ddr:
    """Bursts in the order of their requests: a beat a cycle and port, all ports together at the board's rate."""

    board: Board
    _paid: float = 0.0  # when the bandwidth of everything served so far has come in
    _free: dict[str, int] = field(default_factory=dict[str, int])

    def serve(self, port: str, due: int, beats: int, ports: int = 1, pace: int = 1) -> tuple[int, int]:
        """First and end cycle of ``beats`` on each of ``ports``, ``pace`` cycles a beat, not before ``due``."""
        rate = self.board.bytes_per_cycle
        start = self._outside_refresh(max(due, self._free.get(port, 0)))
        self._paid = max(self._paid, start - SAVED_BYTES / rate) + beats * ports * BEAT_BYTES / rate
        end = max(self._through_refresh(start, beats * pace), math.ceil(self._paid))
        self._free[port] = end
        return start, end

    def _phase(self, time: int) -> int:
        """Cycles since the last refresh gap began."""
        ddr = self.board.ddr
        return (time + ddr.refresh_cycles) % ddr.refresh_interval_cycles

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

    def read(self, command: int, beats: int, pace: int = 1) -> Bursts:
        """(first beat, end) of every burst of a transfer that is asked for at ``command``."""
        arch, latency = self.machine.arch, self.machine.board.ddr.read_latency_cycles
        issue = command + timing.COMMAND_LATENCY + timing.MUX_LATENCY
        bursts: list[tuple[int, int]] = []
        while beats:
            size = min(beats, arch.burst_beats)
            if len(self._ends) >= arch.outstanding:
                back = timing.BURST_INTERVAL - 1 + timing.MUX_LATENCY
                issue = max(issue, self._ends[-arch.outstanding] + back)
            yield issue
            self.issued = issue
            bursts.append(self.ddr.serve(IO_PORT, issue + latency, size, pace=pace))
            self._ends.append(bursts[-1][1])
            issue, beats = issue + timing.BURST_INTERVAL, beats - size
        return bursts


def last_beats(bursts: list[tuple[int, int]], burst_beats: int, step: int, total: int) -> list[int]:
    """Cycle of the last beat of every ``step`` beats of a transfer of ``total``."""
    ends: list[int] = []
    for beat in range(step - 1, total, step):
        start, end = bursts[beat // burst_beats]
        size = min(burst_beats, total - beat // burst_beats * burst_beats)
        ends.append(start + (beat % burst_beats + 1) * (end - start) // size - 1)
    return ends


@dataclass
class WeightLoader:
    """Loads in order, in chunks of a burst on every port; a chunk waits for space in its ring."""

    machine: Machine
    ddr: Ddr

    def __post_init__(self) -> None:
        """Sizes of chunks, ring by ring: norm entries, parameters, weight tiles."""
        arch = self.machine.arch
        rings = (self.machine.norms, self.machine.params, self.machine.weights)
        beats = (arch.param_beats, arch.param_beats, arch.tile_beats)
        self._rings: list[tuple[Ring, int, int]] = []  # ring, beats of a word and port, words of a chunk
        for ring, total in zip(rings, beats, strict=True):
            slice_beats = total // arch.weight_ports
            self._rings.append((ring, slice_beats, min(max(1, arch.burst_beats // slice_beats), ring.depth)))
        self._reserved = [0, 0, 0]
        self._issues: list[int] = []  # addresses of the bursts
        self._ends: list[int] = []  # their last beats
        self._pushes: list[int] = []  # last burst of every chunk

    def run(self) -> Process:
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
                time = max(time + timing.CHUNK_INTERVAL, space + 2, self._room())
                yield from self._send(time, ring, take, slice_beats, address)
                address += take * slice_beats * BEAT_BYTES
                words -= take
            time += 1
        self.machine.done(self._ends[-1] if self._ends else time)
        return time + timing.LOAD_OVERHEAD - len(self._rings)

    def _room(self) -> int:
        """When the ports can take another chunk: some wait for the engine."""
        ahead = timing.COMMANDS_AHEAD
        return self._issues[self._pushes[-ahead]] if len(self._pushes) >= ahead else 0

    def _send(self, push: int, ring: Ring, take: int, slice_beats: int, address: int) -> Process:
        """One chunk, cut into bursts, from its request to the arrival of its words."""
        arch, latency = self.machine.arch, self.machine.board.ddr.read_latency_cycles
        total, gone = take * slice_beats, 0
        issue = push + 1 + timing.COMMAND_LATENCY
        while gone < total:
            page = (PAGE_BYTES - (address + gone * BEAT_BYTES) % PAGE_BYTES) // BEAT_BYTES
            size = min(total - gone, arch.burst_beats, page)
            interval = timing.BURST_INTERVAL + (gone == 0)
            issue = max(issue, self._issues[-1] + interval if self._issues else 0)
            if len(self._ends) >= arch.outstanding:
                issue = max(issue, self._ends[-arch.outstanding] + timing.BURST_INTERVAL - 1)
            yield issue
            start, end = self.ddr.serve(WEIGHT_PORTS, issue + latency, size, arch.weight_ports)
            self._issues.append(issue)
            self._ends.append(end)
            for word in range(gone // slice_beats, (gone + size) // slice_beats):
                last = (word + 1) * slice_beats - gone  # beats of this burst up to the end of the word
                ring.arrived.reach(start + -(-last * (end - start) // size) - 1 + timing.RING_WRITE_LATENCY)
            gone += size
        self._pushes.append(len(self._issues) - 1)
