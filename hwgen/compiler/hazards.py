"""Programs in which somebody overwrites what is still read, or reads what is not there yet.

Every two accesses to a word of which one is a write must be ordered by the law of docs/architecture.md, "The order of
the machine". Where an order is missing before a write and the instruction has a ``wait_b`` to spare, it waits. All else
is a `Hazard`; so is a read that is not ordered, because who reads knows best what he waits for, and a program in which
he does not may hold another tensor there. Whether programs come to their end is another question
(`hwgen.compiler.liveness`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwgen.compiler.counters import LONGEST_WAIT, MODULUS
from hwgen.compiler.knowledge import Known, Need, Numbers, Order, stage_of
from hwgen.compiler.step import Step
from hwgen.compiler.words import Words
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import BUFFERS, RESIDUAL
from hwgen.spec.isa import Counter, Destination, Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.ops.op import Access
from hwgen.spec.order import Stage
from hwgen.spec.tables import TABLES
from hwgen.spec.timing import RESIDUAL_WINDOW

_UNITS = (Unit.COMPUTE, Unit.NORM, Unit.IO)


@dataclass(frozen=True, kw_only=True)
class Hazard:
    """Two instructions that touch one thing in no order."""

    first: int
    second: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A program, with the waits that were missing, and what no wait could help; what the rows of each step know."""

    steps: list[Step]
    hazards: list[Hazard]
    known: dict[int, Known]


def checked(steps: Sequence[Step], arch: ArchConfig, *, repair: bool = True) -> Checked:
    """Go through a program; ``repair``: add waits where they are missing, so that only what none can help is left."""
    return _Checker(steps, arch, repair).run()


class _Checker:
    def __init__(self, steps: Sequence[Step], arch: ArchConfig, repair: bool) -> None:
        self._steps, self._arch, self._repair = list(steps), arch, repair
        self._order = Order(arch)
        self._words = {memory.name: Words(memory.name, memory.bank_count(arch)) for memory in BUFFERS}
        self._tables = {table.name: Words(f"table {table.name}", 1) for table in TABLES}
        self._queues = Words("queues", 1)
        self._cycle = 0  # of the post-processor, at least, when nothing holds it up
        self._hazards: list[Hazard] = []
        self._known: dict[int, Known] = {}

    def run(self) -> Checked:
        """Instruction by instruction."""
        for index, step in enumerate(self._steps):
            if OPS[step.opcode].unit in _UNITS:
                self._instruction(index, step)
        self._hazards += reaching_back(self._steps, self._known, self._arch)
        return Checked(steps=self._steps, hazards=self._hazards, known=self._known)

    def _instruction(self, index: int, step: Step) -> None:
        known = self._order.known(index, step.opcode, step.every)
        needs = list(self._needs(step, known))
        if needs and self._repair and not any(need.read for need in needs):
            waiting = self._with_wait(step, known, needs)
            if waiting is not None:
                self._steps[index] = step = waiting
                known = self._order.known(index, step.opcode, step.every)
                needs = list(self._needs(step, known))
        self._hazards += [self._hazard(index, need) for need in needs]
        self._hazards += self._overlaps(index, step)
        self._touch(step, known)
        self._order.take(known, step.opcode, step.every)
        self._known[index] = known
        self._cycle += OPS[step.opcode].cycles(step.every, self._arch, ()) if known.unit is Unit.COMPUTE else 0

    def _needs(self, step: Step, known: Known) -> Iterator[Need]:
        """What the instruction does not know, and must."""
        if not known.rows:
            return
        counting = self._order.counting(known, stage_of(step.opcode, step.every))
        if counting is not None:
            yield counting
        for words, access in self._reads(step, known):
            if not access.own:
                yield from words.before_read(access, _know(known, access), None, 0)
            elif access.stage is Stage.POST and step.opcode is not Opcode.EXPERTS:
                # what is known of its own writes without having waited for them is only that they are on the way
                waited = known.finish.copy()
                waited[:, Stage.POST] = known.start[:, Stage.POST]
                yield from words.before_read(access, waited, self._slots(step, access), RESIDUAL_WINDOW)
        for words, access in self._writes(step, known):
            yield from words.before_write(access, _know(known, access))

    def _overlaps(self, index: int, step: Step) -> Iterator[Hazard]:
        """Rows that lie on each other."""
        for access in OPS[step.opcode].writes(step.every, self._arch):
            if access.stride < access.words and access.rows > access.memory.bank_count(self._arch):
                text = f"{step.name} ({step.opcode.name} {index}) writes rows of {access.words} words"
                text += f" {access.stride} words apart in {access.memory.name}"
                yield Hazard(first=index, second=index, text=text)

    def _touch(self, step: Step, known: Known) -> None:
        for words, access in self._reads(step, known):
            if not access.own:
                words.read(access, known)
        for words, access in self._writes(step, known):
            words.write(access, known, self._slots(step, access))

    def _reads(self, step: Step, known: Known) -> Iterator[tuple[Words, Access]]:
        op, f = OPS[step.opcode], step.every
        for access in op.reads(f, self._arch):
            yield self._words[access.memory.name], access
        users = {Stage.ISSUER, stage_of(step.opcode, f)} if known.unit is Unit.COMPUTE else {Stage.NORM}
        for table in op.tables(f):
            yield from ((self._tables[table], _thing(stage)) for stage in users)
        if step.opcode is Opcode.EXPERTS:
            yield self._queues, _thing(Stage.ISSUER)

    def _writes(self, step: Step, known: Known) -> Iterator[tuple[Words, Access]]:
        op, f = OPS[step.opcode], step.every
        for access in op.writes(f, self._arch):
            yield self._words[access.memory.name], access
        if step.opcode is Opcode.LOAD_TABLE:
            yield from ((self._tables[table.name], _thing(Stage.IO)) for table in TABLES if table.index == f["table"])
        if Destination.GATE in op.destinations(f):
            yield self._queues, _thing(Stage.GATE)

    def _slots(self, step: Step, access: Access) -> Numbers | None:
        """When the post-processor writes the words of a residual, at the earliest: cycles [rows, words]."""
        if access.memory is not RESIDUAL or access.stage is not Stage.POST:
            return None
        lanes, rows = self._arch.token_lanes, np.arange(access.rows)[:, None]
        loop = OPS[step.opcode].loop
        if loop is None:  # the last tile may have any of them
            return np.full((access.rows, access.words), self._cycle + lanes - 1)
        tile = OPS[step.opcode].cycles(step.every, self._arch, ()) // (-(-access.rows // lanes) * access.words)
        return self._cycle + (rows // lanes * access.words + np.arange(access.words) + 1) * tile + rows % lanes

    def _with_wait(self, step: Step, known: Known, needs: Sequence[Need]) -> Step | None:
        """The instruction with a wait that helps against everything; None when its format has none to spare."""
        if "wait_b" not in OPS[step.opcode].offsets():
            return None
        before = self._promised(step)
        for wait in self._candidates(step, needs):
            promised = self._order.promise(*wait)
            enough = all(promised[need.stage] >= need.number for need in needs)
            if enough and (before is None or bool(np.all(promised >= before))):
                counter, value = wait
                fields = {**step.fields, "wait_b": int(counter), "wait_b_base": value % MODULUS}
                return replace(step, fields=fields)
        return None

    def _promised(self, step: Step) -> Numbers | None:
        """What the instruction's wait promises already."""
        f = step.every
        if not f.get("wait_b"):
            return None
        return self._order.promise(Counter(f["wait_b"]), self._order.target(f["wait_b"], f["wait_b_base"]))

    def _candidates(self, step: Step, needs: Iterable[Need]) -> Iterator[tuple[Counter, int]]:
        """Waits that show one thing each; those for one counter as one."""
        latest = dict[Counter, int]()
        for need in needs:
            wait = self._order.wait(need)
            if wait is not None:
                latest[wait[0]] = max(wait[1], latest.get(wait[0], 0))
        f = step.every
        if f.get("wait_b") in latest:
            counter = Counter(f["wait_b"])
            latest[counter] = max(latest[counter], self._order.target(counter, f["wait_b_base"]))
        yield from latest.items()

    def _hazard(self, index: int, need: Need) -> Hazard:
        first, second = self._order.owner(need).index, self._steps[index]
        text = (
            f"{second.name} ({second.opcode.name} {index}) does not wait until {self._steps[first].name}"
            f" ({self._steps[first].opcode.name} {first}) is done with {need.what}"
        )
        return Hazard(first=first, second=index, text=text)


def _thing(stage: Stage) -> Access:
    """Something that is touched as a whole."""
    return Access(memory=RESIDUAL, base=0, stride=1, rows=1, words=1, stage=stage, by_queue=True)


def _know(known: Known, access: Access) -> Numbers:
    """What the rows of an access know; those that are not rows of the instruction know what its first row does."""
    know = known.at(access.stage)
    if access.rows == known.rows and access.stage is not Stage.ISSUER:
        return know
    return np.repeat(know[:1], access.rows, axis=0)


def reaching_back(steps: Sequence[Step], known: dict[int, Known], arch: ArchConfig) -> Iterator[Hazard]:
    """Waits for values that the counter may have left 2^15 behind, by all that is not ordered behind the wait."""
    counted = dict[Counter, list[Known]]()
    for item in known.values():
        if item.counter and item.rows:
            counted.setdefault(item.counter, []).append(item)
    totals = {counter: items[-1].base + items[-1].rows for counter, items in counted.items()}
    if max(totals.values(), default=0) <= LONGEST_WAIT:
        return
    order = Order(arch)
    for index, item in known.items():
        step = steps[index]
        for name in ("wait_a", "wait_b"):
            counter = step.fields.get(name, 0)
            if counter in totals:
                target = order.target(counter, step.fields[f"{name}_base"])
                most = _most(counted[Counter(counter)], item, totals[Counter(counter)])
                if most - target > LONGEST_WAIT:
                    text = (
                        f"{step.name} ({step.opcode.name} {index}) waits for {Counter(counter).name} {target:,}, which"
                        f" may stand at {most:,} then; waits reach back {LONGEST_WAIT:,}"
                    )
                    yield Hazard(first=index, second=index, text=text)
        order.take(item, step.opcode, step.every)


def _most(counting: Sequence[Known], waiting: Known, total: int) -> int:
    """The most that a counter can have when the last row of an instruction waits for it."""
    stage = {Unit.COMPUTE: Stage.LOADER, Unit.NORM: Stage.NORM, Unit.IO: Stage.IO}[waiting.unit]
    for item in counting:
        if item.index > waiting.index and item.finish[0][stage] >= waiting.end:
            return item.base
    return total
