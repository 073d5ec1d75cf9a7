"""Whether a program comes to its end: a machine of queues, rings, counters and a result FIFO, and nothing else.

How long anything takes does not matter: units take their instructions in order, and what one waits for (a count, words
of a ring, room) is never taken away by another. So one walk decides. Where the walk is coarser than the machine it is
stricter: an instruction starts when all rows are there that it waits for, and counts its own at its end.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from hwgen.compiler.counters import MODULUS
from hwgen.compiler.step import Step
from hwgen.spec.arch import BEAT_BYTES, ArchConfig
from hwgen.spec.buffers import NORM_RING, PARAM_RING, RINGS, WEIGHT_RING
from hwgen.spec.choices import QUEUE_DEPTH, RESULT_ROWS
from hwgen.spec.isa import Counter, Destination, Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.ops.experts import expert_layers
from hwgen.spec.ops.op import Fields

_FIELDS = {NORM_RING.name: "norm_entries", PARAM_RING.name: "param_entries", WEIGHT_RING.name: "weight_words"}
_UNITS = (Unit.LOAD, Unit.IO, Unit.NORM, Unit.COMPUTE)
_Work = Iterator[str]  # what an instruction waits for


def stuck(steps: Sequence[Step], arch: ArchConfig, depths: Mapping[Unit, int] = QUEUE_DEPTH) -> str | None:
    """None when the program ends with empty rings; else who waits for what. ``depths``: of the queues in front of the
    units; the weight loader's is in the arch.
    """
    return _Walk(steps, arch, depths).run()


class _Walk:
    def __init__(self, steps: Sequence[Step], arch: ArchConfig, depths: Mapping[Unit, int]) -> None:
        self._steps, self._arch, self._next = steps, arch, 0
        self._room = {unit: depths.get(unit, arch.load_queue) for unit in _UNITS}
        self._queues: dict[Unit, deque[int]] = {unit: deque() for unit in _UNITS}
        self._work: dict[Unit, _Work] = {}
        self._free = {ring.name: ring.words(arch) for ring in RINGS}
        self._held = dict.fromkeys(self._free, 0)
        self._counts = dict.fromkeys(Counter, 0)
        self._results = 0  # words in the FIFO and before it
        self._result_room = arch.result_words + RESULT_ROWS - 2 * arch.token_lanes  # words that need no STORE
        self._moves = 0

    def run(self) -> str | None:
        """Until nothing moves any more."""
        while True:
            before = self._moves
            self._dispatch()
            waiting = {unit: reason for unit in _UNITS if (reason := self._move(unit))}
            if self._moves == before:
                return self._verdict(waiting)

    def _verdict(self, waiting: Mapping[Unit, str]) -> str | None:
        """What is left."""
        if waiting:
            heads = {unit: self._steps[self._queues[unit][0]] for unit in waiting}
            return "; ".join(f"{heads[unit].name} waits for {reason}" for unit, reason in waiting.items())
        left = [f"{words} words of the {ring}" for ring, words in self._held.items() if words]
        return f"nobody takes {', '.join(left)}" if left else None

    def _dispatch(self) -> None:
        """Hand out instructions while there is room."""
        while self._next < len(self._steps):
            unit = OPS[self._steps[self._next].opcode].unit
            if unit not in self._queues or len(self._queues[unit]) >= self._room[unit]:
                return
            self._queues[unit].append(self._next)
            self._next += 1
            self._moves += 1

    def _move(self, unit: Unit) -> str:
        """Go on with the instructions of a unit; what the first that cannot waits for."""
        while self._queues[unit]:
            if unit not in self._work:
                self._work[unit] = self._run(self._steps[self._queues[unit][0]])
            reason = next(self._work[unit], None)
            if reason is not None:
                return reason
            del self._work[unit]
            self._queues[unit].popleft()
            self._moves += 1
        return ""

    def _run(self, step: Step) -> _Work:
        f = step.every
        yield from self._wait(f, "wait_b", 0)
        yield from self._wait(f, "wait_a", f.get("rows", 0))
        if step.opcode is Opcode.LOAD_WEIGHTS:
            yield from self._load(f)
        else:
            yield from self._take(step.opcode, f)
        word_beats = 2 * self._arch.output_lanes // BEAT_BYTES
        if step.opcode is Opcode.STORE:
            yield from self._store(f["beats"] // word_beats)
        elif Destination.RESULT in OPS[step.opcode].destinations(f):
            yield from self._push(f["rows"] * f["out_tiles"])
        counter, rows = OPS[step.opcode].counts(f)
        self._counts[counter] += rows

    def _wait(self, f: Fields, name: str, rows: int) -> _Work:
        """As the machine compares: sixteen bits with a sign."""
        counter = Counter(f.get(name, 0))
        while counter:
            ahead = (self._counts[counter] - f[f"{name}_base"] + MODULUS // 2) % MODULUS - MODULUS // 2
            if ahead >= rows:
                return
            yield f"{counter.name} {(f[f'{name}_base'] + rows) % MODULUS}"

    def _load(self, f: Fields) -> _Work:
        """Words into the rings, one ring after the other."""
        for ring, name in _FIELDS.items():
            left = f[name]
            while left:
                words = min(left, self._free[ring])
                if not words:
                    yield f"room in the {ring}"
                self._bring(ring, words)
                left -= words

    def _bring(self, ring: str, words: int) -> None:
        """Words come; a negative number goes."""
        self._free[ring] -= words
        self._held[ring] += words
        self._moves += words != 0

    def _take(self, opcode: Opcode, f: Fields) -> _Work:
        """A layer with more rows than lanes reads its words again for each tile of rows, so it needs them all."""
        op = OPS[opcode]
        streams = op.unit is Unit.COMPUTE and f["rows"] <= self._arch.token_lanes
        for layer in expert_layers(f) if opcode is Opcode.EXPERTS else [op.takes(f)]:
            for ring, words in layer.items():
                left = words
                while left:
                    taken = min(left, self._held[ring]) if streams or self._held[ring] >= left else 0
                    if not taken:
                        yield f"{left} words of the {ring}"
                    self._bring(ring, -taken)
                    left -= taken

    def _push(self, words: int) -> _Work:
        """Results, as far as there is room for them."""
        while words:
            pushed = min(words, self._result_room - self._results)
            if not pushed:
                yield "room for results"
            self._results += pushed
            self._moves += pushed != 0
            words -= pushed

    def _store(self, words: int) -> _Work:
        """Results to memory."""
        while words:
            stored = min(words, self._results)
            if not stored:
                yield "results"
            self._results -= stored
            self._moves += stored != 0
            words -= stored
