"""A machine of queues and rings and nothing else: does a program come to its end?

The worst case in every respect: queues of one instruction (but for loads), waits that ask for all rows, layers that
free their ring space only when they have everything.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Counter, Opcode, Unit
from hwgen.spec.ops import OPS
from tests.compiler.programs import Instruction, brings, counts, difference, weight_words


class _Machine:
    def __init__(self, arch: ArchConfig, code: Sequence[Instruction]) -> None:
        self.code, self.at = code, 0
        self.capacity = {unit: arch.load_queue if unit is Unit.LOAD else 1 for unit in Unit}
        self.queues: dict[Unit, deque[Instruction]] = {unit: deque() for unit in Unit}
        self.free = [arch.norm_entries, arch.param_entries, arch.ring_words]
        self.held = [0, 0, 0]
        self.value = dict.fromkeys(Counter, 0)
        self.pending: list[int] = []  # of the running load
        self.work: Iterator[bool] | None = None  # of the running consumer
        self.working: dict[Unit, Iterator[bool]] = {}

    def dispatch(self) -> bool:
        """One instruction into its queue; True if something happened."""
        opcode, _ = self.code[self.at]
        if opcode is Opcode.END:
            return False
        unit = OPS[opcode].unit
        if len(self.queues[unit]) >= self.capacity[unit]:
            return False
        self.queues[unit].append(self.code[self.at])
        self.at += 1
        return True

    def load(self) -> bool:
        """One ring word of the running load."""
        queue = self.queues[Unit.LOAD]
        if not self.pending:
            if not queue:
                return False
            self.pending = list(brings(queue[0][1]))
        ring = next(index for index, left in enumerate(self.pending) if left)
        if not self.free[ring]:
            return False
        words = min(self.free[ring], self.pending[ring])
        self.free[ring] -= words
        self.held[ring] += words
        self.pending[ring] -= words
        if not any(self.pending):
            queue.popleft()
            self.pending = []
        return True

    def take(self, ring: int, words: int) -> bool:
        """Use and free the oldest words, once all are there."""
        if self.held[ring] < words:
            return False
        self.held[ring] -= words
        self.free[ring] += words
        return True

    def ready(self, f: dict[str, int]) -> bool:
        """Whether both waits have ended."""
        by_row, whole = Counter(f.get("wait_a", 0)), Counter(f.get("wait_b", 0))
        if by_row and difference(self.value[by_row], f["wait_a_base"]) < f["rows"]:
            return False
        return not whole or difference(self.value[whole], f["wait_b_base"]) >= 0

    def run(self, opcode: Opcode, f: dict[str, int]) -> Iterator[bool]:
        """Progress of one instruction: True when a step was made, False when it must wait."""
        while not self.ready(f):
            yield False
        layers: list[tuple[int, int]] = []
        if opcode is Opcode.LAYERNORM:
            layers = [(0, f["words"])]
        elif opcode is Opcode.LINEAR:
            layers = [(2, weight_words(f["out_tiles"], f["in_chunks"], f["int4"])), (1, f["out_tiles"])]
        elif opcode is Opcode.EXPERTS:
            for _ in range(f["experts"]):
                first = weight_words(f["hidden_tiles"], f["in_chunks"], f["int4_first"])
                second = weight_words(f["out_tiles"], f["hidden_chunks"], f["int4_second"])
                layers += [(2, first), (1, f["hidden_tiles"]), (2, second), (1, f["out_tiles"])]
        for ring, words in layers:
            while not self.take(ring, words):
                yield False
            yield True
        counter, rows = counts(opcode, f)
        self.value[counter] = (self.value[counter] + rows) % 2**16
        yield True

    def unit(self, unit: Unit) -> bool:
        """One step of the instruction at the head of a queue."""
        if unit not in self.working:
            if not self.queues[unit]:
                return False
            self.working[unit] = self.run(*self.queues[unit][0])
        moved = next(self.working[unit], None)
        if moved is None:
            self.queues[unit].popleft()
            del self.working[unit]
            return True
        return moved


def stuck_at(arch: ArchConfig, code: Sequence[Instruction]) -> int | None:
    """None when the program ends with empty rings; else the index of the instruction that cannot be dispatched."""
    machine = _Machine(arch, code)
    units = (Unit.IO, Unit.NORM, Unit.COMPUTE)
    while True:
        moved = [machine.dispatch(), machine.load(), *(machine.unit(unit) for unit in units)]
        if not any(moved):
            break
    done = machine.at == len(code) - 1 and not any(machine.queues.values()) and not any(machine.held)
    return None if done else machine.at
