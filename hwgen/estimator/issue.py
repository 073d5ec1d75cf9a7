"""Tile issuer and what follows it: array, post-processor, softmax statistics and gate, which are latencies."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from hwgen.estimator.clock import Process, Request, Wait, after
from hwgen.estimator.compute import ComputeUnit, Op
from hwgen.spec import choices, timing
from hwgen.spec.isa import Counter, Destination, Opcode

BEHIND = timing.COMPUTE_LATENCY + timing.POST_LATENCY  # last chunk of a tile to its row in lane 0


@dataclass
class Issuer:
    """A tile takes max(chunks, token_lanes) cycles when operands and weights are there."""

    unit: ComputeUnit
    entered: int = 0  # row slots begun
    last: int = -1000  # last chunk of the tile before
    word: int = 0  # weight words and parameters of all ops before
    param: int = 0
    taken: int = 0  # when the gate took its last token
    promised: int = 0  # words of results under way

    def __post_init__(self) -> None:
        """Short names, and figures of the machine."""
        self.machine, self.arch = self.unit.machine, self.unit.machine.arch
        self.lanes = self.arch.token_lanes
        fifo = self.arch.result_words
        self.room = choices.RESULT_ROWS + fifo - self.lanes  # a tile that went a cycle ago counts as under way
        self.softmax = timing.softmax_latency(self.arch) + 1

    def run(self) -> Process:
        """Op after op; steps are made a little ahead, so that nothing is lost between two ops."""
        last, number = 0, 0
        while True:
            handed = yield from after(0, self.unit.queued, number + 1)
            self.unit.issued.reach(max(handed, last - timing.ISSUE_LATENCY + 1))
            time = max(last + 1, handed + timing.ISSUE_LATENCY)
            op = self.unit.ops[number]
            number += 1
            if op.kind is Opcode.SCORES:
                last = yield from self._scores(op, time)
            elif op.kind is Opcode.EXPERTS:
                last = yield from self._skip(op, time)
            else:
                last = yield from self._rounds(op, time)
            self.machine.done(last)

    # --- plain loop: tile of rows, output tile, chunk -------------------------------------------------------------

    def _rounds(self, op: Op, time: int) -> Wait:
        """LINEAR and CONTEXT; the last cycle."""
        rounds = -(-op.rows // self.lanes)
        for number in range(rounds):
            count = min(self.lanes, op.rows - number * self.lanes)
            time = yield from after(time, self.unit.loaded, self.entered + self.lanes)
            self.entered += self.lanes
            for tile in range(op.tiles):
                if op.destination is Destination.RESULT:
                    time = yield from self._credit(time, count)
                goes: Sequence[int] = range(time, time + op.chunks)
                if op.kind is Opcode.LINEAR and number == 0:
                    goes = yield from self._arrivals(op, tile, time)
                if tile == 0:
                    self._begin(op, goes[0], number)
                time = max(goes[-1], self.last + self.lanes)
                self.last = time
                if op.kind is Opcode.LINEAR and number == rounds - 1:
                    self._free(op, goes, time)
                if tile == op.tiles - 1:
                    self._give_back(op, goes, time, certain=number > 0 or op.kind is Opcode.CONTEXT)
                    self._complete(op, time, count, final=number == rounds - 1)
                if op.destination is Destination.RESULT:
                    self._result(time, count)
                time += 1
            self.machine.mac_cycles += op.tiles * op.chunks
        if op.kind is Opcode.LINEAR:
            self.word += op.tiles * op.words
            self.param += op.tiles
        return time - 1

    def _begin(self, op: Op, time: int, number: int) -> None:
        self.unit.entered.reach(time + 1, self.lanes)
        if op.first and number == 0:
            self.machine.starts[op.item.index] = time

    def _arrivals(self, op: Op, tile: int, time: int) -> Generator[Request, None, list[int]]:
        """Cycles of the chunks of a tile whose weights may still be on the way."""
        time = yield from after(time, self.machine.params.arrived, self.param + tile + 1)
        goes: list[int] = []
        first = self.word + tile * op.words
        for chunk in range(op.chunks):
            time = yield from after(time, self.machine.weights.arrived, first + chunk // op.per_word + 1)
            goes.append(time)
            time += 1
        return goes

    def _free(self, op: Op, goes: Sequence[int], last: int) -> None:
        """Weights with their last use, parameters with the last row of the tile."""
        for time in goes[op.per_word - 1 : -1 : op.per_word]:
            self.machine.weights.free(time)
        self.machine.weights.free(last)
        self.machine.params.free(last + timing.COMPUTE_LATENCY + self.lanes)

    def _give_back(self, op: Op, goes: Sequence[int], last: int, certain: bool) -> None:
        """The slot of a tile of rows; early when nothing can hold up the rest of its last tile."""
        time = last
        if certain and op.chunks >= self.lanes:
            time = goes[max(0, op.chunks - choices.REFILL_CYCLES - 1)]
        self.unit.released.reach(time + 1, self.lanes)

    def _complete(self, op: Op, last: int, count: int, final: bool) -> None:
        """Rows whose last output tile was issued at ``last``."""
        written = last + BEHIND
        end = written + count
        self._end(op, end)
        if op.destination is Destination.GATE:
            self._gate(op, written, count)
        elif op.counter:
            for lane in range(count):
                self.machine.count(op.counter, written + lane)
        if final and op.finish:
            self.machine.count(Counter.RESIDUAL, written + self.lanes - 1, op.finish)

    def _end(self, op: Op, time: int) -> None:
        self.machine.ends[op.item.index] = time
        self.machine.done(time)

    def _gate(self, op: Op, written: int, count: int) -> None:
        """Tokens become experts, one every ``top_k`` cycles."""
        latency = timing.gate_latency(self.arch, op.top_k)
        for lane in range(count):
            self.taken = max(written + lane + 1, self.taken + op.top_k)
            self.machine.count(Counter.GATE, self.taken - 1 + latency)

    def _credit(self, time: int, count: int) -> Wait:
        """Room for the rows of another tile of results."""
        time = yield from after(time, self.machine.stored_words, self.promised + self.lanes - self.room)
        self.promised += count
        return time

    def _result(self, last: int, count: int) -> None:
        """Words reach the result FIFO through another one."""
        for lane in range(count):
            self.machine.result_words.reach(last + BEHIND + lane + 5)

    # --- the others -----------------------------------------------------------------------------------------------

    def _skip(self, op: Op, time: int) -> Wait:
        """Weights of an expert without tokens are freed as they come, an output tile every other cycle."""
        for _ in range(op.tiles):
            self.word += op.words
            self.param += 1
            time = yield from after(time + 1, self.machine.params.arrived, self.param)
            time = yield from after(time, self.machine.weights.arrived, self.word)
            self.machine.starts.setdefault(op.item.index, time)
            self.machine.weights.free(time, op.words)
            self.machine.params.free(time + timing.COMPUTE_LATENCY + self.lanes + 2)
            time += 1
        return time - 1

    def _scores(self, op: Op, time: int) -> Wait:
        """The reordered schedule: block, key step; lane o is o steps behind (docs/architecture.md)."""
        lanes, steps = self.lanes, max(op.tiles, self.lanes)
        idle, previous, left, block = max(0, lanes - op.tiles), 0, op.rows, 0
        while left > 0 or previous > 1:
            count = min(lanes, max(left, 0))
            for step in range(steps if count else previous - 1):
                if step < lanes and count:
                    time = yield from after(time, self.unit.loaded, self.entered + 1)
                    self.entered += 1
                    self.unit.entered.reach(time + 1)
                    if previous:
                        self.unit.released.reach(time + 1)
                self.unit.steps.step(time + timing.STEP_LATENCY, opening=block == step == 0)
                if block == step == 0:
                    self.machine.starts[op.item.index] = time
                if step >= idle:
                    self.machine.mac_cycles += op.chunks
                    time = self.last = max(time + op.chunks - 1, self.last + lanes)
                self._queries(op, time, step, (previous, count, idle, steps))
                time += 1
            left, previous, block = left - lanes, count, block + 1
        self.unit.released.reach(time, lanes)
        self.unit.steps.end(time - 1 + timing.STEP_LATENCY)
        return time - 1

    def _queries(self, op: Op, last: int, step: int, block: tuple[int, int, int, int]) -> None:
        """Queries whose last key tile is the one of this step: late lanes of the block before, early ones of this."""
        previous, count, idle, steps = block
        done = [step + 1] if idle < step + 1 < min(previous, self.lanes) else []
        if step == steps - 1:
            done += range(min(idle + 1, count))
        for lane in done:
            written = last + BEHIND + lane
            self.machine.count(Counter.SCORE, written + self.softmax)
            self._end(op, written + 1)
