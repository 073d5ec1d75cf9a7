"""Checks that everything an instruction reads and writes is ordered behind what was done there before."""

from golden.machine.promises import UnorderedError
from golden.machine.residual_window import WINDOW, ResidualWindow
from golden.machine.stages import EventClocks, Stage, last_of_tile, readers, table_users, writer
from golden.machine.tracks import ONE_WORD, Conflict, Tracks, places
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import BUFFERS, RESIDUAL
from hwgen.spec.isa import Destination, Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.ops.op import Access, Fields
from hwgen.spec.tables import TABLES

_TOLD = "for all that its waits say"


class Accesses:
    """Buffers, function tables and token queues, and who has used them so far; every method raises UnorderedError."""

    def __init__(self, arch: ArchConfig) -> None:
        """Nobody has."""
        self._arch = arch
        self._memories = {info.name: Tracks(info.words(arch) * info.bank_count(arch)) for info in BUFFERS}
        self._tables = {info.name: Tracks(1) for info in TABLES}
        self._queues = Tracks(1)
        self._window = ResidualWindow(RESIDUAL.words(arch), arch)

    def follow(self, opcode: Opcode, f: Fields, events: EventClocks) -> None:
        """Everything that the next instruction in program order does: its reads come before its writes."""
        op = OPS[opcode]
        for access in op.reads(f, self._arch):
            for stage in readers(op.unit, access.memory):
                self._read(access, stage, events)
        for access in op.writes(f, self._arch):
            if op.unit == Unit.COMPUTE and access.memory is RESIDUAL:
                self._add(access, opcode, f, events)
            self._write(access, writer(op.unit, access.memory), events)
        if op.unit == Unit.COMPUTE:
            self._window.end(opcode, f)
        self._use(opcode, f, events)

    def _read(self, access: Access, stage: Stage, events: EventClocks) -> None:
        """Behind all writes; a stage's own come in order, but for the residual (`_add`)."""
        tracks, at = self._memories[access.memory.name], places(access, self._arch)
        by_row = access.by_row or access.own
        clocks = events.clocks[stage] if by_row else events.clocks[stage][:1]
        inner = access.own and access.memory is not RESIDUAL  # hidden rows of experts: the instruction orders them
        for other, track in tracks.writes.items():
            found = track.conflict(at, clocks[:, other]) if other != stage and not inner else None
            if found:
                text = f"reads {self._word(access, found)} before {{other}} has written it, {_TOLD}"
                raise UnorderedError(text, other, found.number)
        tracks.read(stage, at, events.numbers if by_row else events.numbers[-1:])

    def _write(self, access: Access, stage: Stage, events: EventClocks) -> None:
        """Behind all reads, and where a port is shared, behind all writes through it."""
        memory, clocks = access.memory, events.clocks[stage]
        tracks, at = self._memories[memory.name], places(access, self._arch)
        if stage != Stage.NORM and access.rows > memory.bank_count(self._arch) and access.stride < access.words:
            # written tile by tile or run by run, so that the last to come need not be the last row
            text = f"writes rows of {access.words} words, {access.stride} apart, to the {memory.name} buffer"
            raise UnorderedError(text, stage, int(events.numbers[0]))
        for other, track in tracks.reads.items():
            found = track.conflict(at, clocks[:, other]) if other != stage else None
            if found:
                text = f"writes {self._word(access, found)} before {{other}} has read it, {_TOLD}"
                raise UnorderedError(text, other, found.number)
        for other, track in tracks.writes.items():
            if other != stage and track.newest > clocks[0, other]:
                text = f"writes to the {memory.name} buffer while {{other}} may: they share a port"
                raise UnorderedError(text, other, track.newest)
        tracks.write(stage, at, events.numbers)

    def _word(self, access: Access, found: Conflict) -> str:
        memory = access.memory
        return f"{memory.name} row {found.row} (word {found.place % memory.words(self._arch)})"

    def _add(self, access: Access, opcode: Opcode, f: Fields, events: EventClocks) -> None:
        """The post-processor adds to words that it may just have written.

        EXPERTS does not: its second layers wait for hidden rows that have passed the post-processor behind all others.
        """
        at = places(access, self._arch)
        leaves, track = self._window.leaves(opcode, f, at), self._memories[RESIDUAL.name].writes.get(Stage.POST)
        cycles = self._window.behind(at, leaves)
        if opcode == Opcode.LINEAR and track and cycles.size and cycles.min() < WINDOW:
            ends = last_of_tile(opcode, len(events.numbers), self._arch)
            told = events.clocks[Stage.LOADER][ends][:, Stage.POST]
            found = track.conflict(at, told, cycles < WINDOW)
            if found:
                text = f"adds to {self._word(access, found)} {int(cycles.min())} cycles behind {{other}}"
                raise UnorderedError(f"{text}, which takes {WINDOW} or a wait", Stage.POST, found.number)
        self._window.write(at, leaves)

    def _use(self, opcode: Opcode, f: Fields, events: EventClocks) -> None:
        """Function tables and token queues."""
        for name, stage in table_users(opcode, f):
            self._whole(f"the {name} table", self._tables[name], stage, events, fills=False)
        if opcode == Opcode.LOAD_TABLE:
            name = next(table.name for table in TABLES if table.index == f["table"])
            self._whole(f"the {name} table", self._tables[name], Stage.IO, events, fills=True)
        if opcode == Opcode.EXPERTS:
            self._whole("the token queues", self._queues, Stage.LOADER, events, fills=False)
        if opcode == Opcode.LINEAR and f["destination"] == Destination.GATE:
            self._whole("the token queues", self._queues, Stage.GATE, events, fills=True)

    def _whole(self, what: str, tracks: Tracks, stage: Stage, events: EventClocks, *, fills: bool) -> None:
        """What is filled and used as one word."""
        for other, track in (tracks.reads if fills else tracks.writes).items():
            if other != stage and track.newest > events.clocks[stage][0, other]:
                verbs = ("fills", "used") if fills else ("uses", "filled")
                text = f"{verbs[0]} {what} before {{other}} has {verbs[1]} it, {_TOLD}"
                raise UnorderedError(text, other, track.newest)
        (tracks.write if fills else tracks.read)(stage, ONE_WORD, events.numbers[-1:])
