"""Whether the order of everything that a program reads and writes follows from its waits and from what the stages of
the machine guarantee (docs/architecture.md, "The order of the machine").

The golden machine runs one instruction after the other, so it computes what the program means. Whether the real one,
whose stages run side by side, computes the same is decided here from what the operations declare. Token queues are
taken to name any row, so that the answer does not depend on the image.
"""

from bisect import bisect_left, bisect_right

import numpy as np

from golden.machine.accesses import Accesses
from golden.machine.progress import IllegalProgramError
from golden.machine.promises import Promises, UnorderedError
from golden.machine.rings import BROUGHT
from golden.machine.stages import FIRST, UNIT, EventClocks, Stage, counting, last_of_tile, nothing
from hwgen.spec.arch import BEAT_BYTES, ArchConfig
from hwgen.spec.buffers import RINGS
from hwgen.spec.destinations import STREAM_BITS
from hwgen.spec.isa import Counter, Destination, Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.ops.op import Fields
from hwgen.spec.tables import Int64Array


class Order:
    """Follows a program, instruction by instruction, and refuses the first access that nothing orders."""

    def __init__(self, arch: ArchConfig) -> None:
        """Before the first instruction."""
        self._arch, self._accesses = arch, Accesses(arch)
        self._known = {unit: nothing() for unit in FIRST}  # by the first stage of each unit
        self._expander = nothing()  # it looks at the waits of EXPERTS, ahead of the loader
        self._started: dict[Unit, list[tuple[int, int, Opcode]]] = {unit: [] for unit in FIRST}  # events before, pc
        self._promises = {counter: Promises(counter) for counter in Counter}
        self._results: list[tuple[int, Int64Array]] = []  # words pushed up to the end of a tile of rows; what is over
        self._stored = 0  # words
        self._brought: dict[str, list[int]] = {ring.name: [] for ring in RINGS}  # words, up to each load
        self._taken = dict.fromkeys(self._brought, 0)

    def follow(self, pc: int, opcode: Opcode, f: Fields) -> None:
        """The next instruction in program order; a load may come early. IllegalProgramError names both of a pair."""
        if opcode == Opcode.END:
            return
        try:
            events = self._begin(pc, opcode, f)
            if opcode == Opcode.LOAD_WEIGHTS:
                self._bring(f)
                return
            self._accesses.follow(opcode, f, events)
            self._count(opcode, f, events)
        except UnorderedError as error:
            unit = UNIT.get(error.stage, Unit.COMPUTE)
            at = bisect_left(self._started[unit], (error.number,)) - 1
            _, other, name = self._started[unit][at]
            text = error.text.format(other=f"{name.name} at pc {other}")
            raise IllegalProgramError(pc, f"{opcode.name} {text}") from error

    def _begin(self, pc: int, opcode: Opcode, f: Fields) -> EventClocks:
        """The events of an instruction, and what its waits tell each of them."""
        unit, first = OPS[opcode].unit, FIRST[OPS[opcode].unit]
        rows = 1 if opcode == Opcode.EXPERTS else max(1, OPS[opcode].counts(f)[1])
        known = self._known[unit]
        before = int(known[first])
        self._started[unit].append((before, pc, opcode))
        start = self._wait_at_once(opcode, f, first, known)
        clocks = np.empty((rows, len(Stage)), dtype=np.int64)
        clocks[:] = start
        if f.get("wait_a") and f["rows"]:
            promises = self._promises[Counter(f["wait_a"])]
            value = promises.value(f["wait_a_base"]) + 1
            np.maximum(start, promises.wait(value, rows, first, before + 1, start), out=clocks)
        events = EventClocks(first, before + 1 + np.arange(rows), clocks)
        if unit == Unit.COMPUTE:
            events.follow(last_of_tile(opcode, rows, self._arch), self._take(opcode, f))
        np.maximum(known, events.done(first)[-1], out=known)
        return events

    def _wait_at_once(self, opcode: Opcode, f: Fields, first: Stage, known: Int64Array) -> Int64Array:
        """What the first stage of a unit knows when ``wait_b`` has ended."""
        if not f.get("wait_b"):
            return known
        experts = opcode == Opcode.EXPERTS
        promises = self._promises[Counter(f["wait_b"])]
        looks = self._expander if experts else known
        value = promises.value(f["wait_b_base"])
        told = promises.wait(value, 1, first, int(known[first]) + 1, looks)[0]
        if experts:
            np.maximum(self._expander, told, out=self._expander)
        return np.maximum(known, told)

    def _bring(self, f: Fields) -> None:
        """Words that a load brings."""
        for field, ring in BROUGHT.items():
            brought = self._brought[ring]
            brought.append((brought[-1] if brought else 0) + f[field])

    def _take(self, opcode: Opcode, f: Fields) -> int:
        """How many loads have brought what a COMPUTE instruction and those before it take from the rings."""
        loads = 0
        for ring, words in OPS[opcode].takes(f).items():
            self._taken[ring] += words
            if self._taken[ring]:
                loads = max(loads, bisect_left(self._brought[ring], self._taken[ring]) + 1)
        return 0 if opcode == Opcode.EXPERTS else loads  # it counts its rows before experts without tokens

    def _count(self, opcode: Opcode, f: Fields, events: EventClocks) -> None:
        """Progress, rows of results, and what a STORE has seen of them."""
        counter, rows = OPS[opcode].counts(f)
        done, row = events.done(counting(opcode, f)), np.arange(rows)
        if opcode == Opcode.EXPERTS:
            row[:] = 0
        elif opcode == Opcode.LOAD_PATCHES:  # a band at once
            row += f["patch_columns"] - 1 - row % f["patch_columns"]
        self._promises[counter].count(counting(opcode, f), done[row])
        if opcode == Opcode.LINEAR and f["destination"] == Destination.RESULT:
            pushed = self._results[-1][0] if self._results else 0
            for end in np.unique(last_of_tile(opcode, rows, self._arch)).tolist():
                self._results.append((pushed + (end + 1) * f["out_tiles"], done[end]))
        elif opcode == Opcode.STORE:
            self._store(f)

    def _store(self, f: Fields) -> None:
        """Rows that have been written to memory have left the post-processor: IO knows, from the next instruction."""
        self._stored += f["beats"] * BEAT_BYTES * 8 // (STREAM_BITS * self._arch.output_lanes)
        tiles = bisect_right(self._results, self._stored, key=lambda item: item[0])
        if tiles:
            np.maximum(self._known[Unit.IO], self._results[tiles - 1][1], out=self._known[Unit.IO])
