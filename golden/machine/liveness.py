"""Whether a LINEAR whose results do not fit in the result FIFO goes on: somebody behind it must store them.

Everything else that an instruction waits for is done by instructions before it, or is words of the rings
(golden/machine/rings.py); those have been dispatched, for the dispatcher keeps program order. Results alone are taken
away by an instruction behind the one that waits: a STORE, which must get past a full queue and past whatever IO has to
do before. What can run meanwhile is played here, with no more room than the machine has; whoever gets further in any
order gets further in every order, since all of them only wait for something to become more.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from golden.machine.progress import IllegalProgramError, Progress
from golden.machine.rings import BROUGHT, Loader, Ring
from hwgen.spec.arch import BEAT_BYTES, ArchConfig
from hwgen.spec.buffers import NORM_RING
from hwgen.spec.choices import BUFFER_DEPTH, QUEUE_DEPTH, RESULT_ROWS
from hwgen.spec.destinations import STREAM_BITS
from hwgen.spec.isa import Counter, Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.ops.op import Fields

Step = tuple[int, Opcode, Fields]  # pc, opcode, fields
# In the queue and in front of the op expander. Ops that have passed it hold more, but not when EXPERTS is among them.
COMPUTE_BEHIND = QUEUE_DEPTH[Unit.COMPUTE] + BUFFER_DEPTH


@dataclass(frozen=True)
class ResultFifo:
    """Sizes of the way from the post-processor to STORE, in words of results."""

    depth: int  # of the FIFO that STORE empties
    burst: int  # what it takes at once
    full: int  # with more than so many under way, no tile is issued

    @staticmethod
    def of(arch: ArchConfig) -> "ResultFifo":
        """The FIFO of a machine; before it, rows of this tile and of the next must find room."""
        beats = word_bytes(arch) // BEAT_BYTES
        depth = max(2, arch.result_beats // beats)
        burst = min(max(1, arch.burst_beats // beats), depth)
        return ResultFifo(depth, burst, depth + RESULT_ROWS - 2 * arch.token_lanes)


def word_bytes(arch: ArchConfig) -> int:
    """Bytes of a word of results."""
    return STREAM_BITS * arch.output_lanes // 8


@dataclass
class _Waiting:
    """An instruction in the queue of its unit; a STORE with the words that it still has to write."""

    pc: int
    opcode: Opcode
    fields: Fields
    needs: dict[Counter, int]
    left: int = 0


class Drain:
    """One LINEAR to RESULT and what runs behind it until all of its rows are on their way."""

    def __init__(self, arch: ArchConfig, progress: Progress, rings: dict[str, Ring], loader: Loader) -> None:
        """The state of the machine when everything before the LINEAR is over, loads perhaps excepted."""
        self._arch, self._fifo = arch, ResultFifo.of(arch)
        self._counted = {counter: int(progress.count[counter]) for counter in Counter}  # in program order
        self._there = dict(self._counted)  # what the machine has really counted
        self._space = {name: ring.depth - ring.words for name, ring in rings.items()}
        self._norm_words = rings[NORM_RING.name].words
        self._loads, self._behind, self._held = loader.waiting, 0, 0
        self._io, self._norm = deque[_Waiting](), deque[_Waiting]()
        self._blocked: Step | None = None  # for whom the dispatcher finds no room

    def check(self, pc: int, fields: Fields, held: int, ahead: Iterator[Step]) -> None:
        """``held``: words of results that nobody has stored; ``ahead``: the instructions behind the LINEAR.

        IllegalProgramError says who waits for whom.
        """
        tiles = deque(self._tiles(fields))
        self._counted[Counter.RESULT] += fields["rows"]
        self._held = held
        while tiles:
            if self._held <= self._fifo.full:
                words, rows = tiles.popleft()
                self._held += words
                self._there[Counter.RESULT] += rows
            elif not (self._run_io() or self._run_norm() or self._dispatch(ahead)):
                raise IllegalProgramError(pc, self._why())

    def _tiles(self, fields: Fields) -> Iterator[tuple[int, int]]:
        """Words of every tile, and the rows that it finishes."""
        for first in range(0, fields["rows"], self._arch.token_lanes):
            rows = min(self._arch.token_lanes, fields["rows"] - first)
            for tile in range(fields["out_tiles"]):
                yield rows, rows if tile == fields["out_tiles"] - 1 else 0

    def _run_io(self) -> bool:
        """The oldest instruction of IO, or a burst of it."""
        if not self._io or not self._ready(self._io[0]):
            return False
        head = self._io[0]
        size = min(head.left, self._fifo.burst)
        if self._held < size:
            return False
        self._held -= size
        head.left -= size
        if not head.left:
            self._end(self._io.popleft())
        return True

    def _run_norm(self) -> bool:
        """The oldest instruction of the NORM queue, if its parameters have come."""
        if not self._norm or not self._ready(self._norm[0]):
            return False
        words = OPS[self._norm[0].opcode].takes(self._norm[0].fields).get(NORM_RING.name, 0)
        if self._norm_words < words:
            return False
        self._norm_words -= words
        self._end(self._norm.popleft())
        return True

    def _ready(self, item: _Waiting) -> bool:
        return all(self._there[counter] >= value for counter, value in item.needs.items())

    def _end(self, item: _Waiting) -> None:
        counter, rows = OPS[item.opcode].counts(item.fields)
        self._there[counter] += rows

    def _dispatch(self, ahead: Iterator[Step]) -> bool:
        """The next instruction goes to the queue of its unit, if there is room."""
        step = self._blocked or next(ahead, None)
        self._blocked = step
        if step is None or not self._enter(*step):
            return False
        counter, rows = OPS[step[1]].counts(step[2])
        self._counted[counter] += rows
        self._blocked = None
        return True

    def _enter(self, pc: int, opcode: Opcode, fields: Fields) -> bool:
        unit = OPS[opcode].unit
        item = _Waiting(pc, opcode, fields, self._needs(fields))
        if unit == Unit.COMPUTE:
            fits = self._behind < COMPUTE_BEHIND
            self._behind += fits
            return fits
        if unit == Unit.LOAD:
            return self._load(item)
        if opcode == Opcode.STORE:
            item.left = fields["beats"] * BEAT_BYTES // word_bytes(self._arch)
        queue, most = (self._io, QUEUE_DEPTH[unit] + 1) if unit == Unit.IO else (self._norm, QUEUE_DEPTH[unit])
        if len(queue) >= most:  # IO takes an instruction out of its queue, NORM when it is over
            return False
        queue.append(item)
        return True

    def _load(self, item: _Waiting) -> bool:
        """A load is over when all of it fits at once; those behind one that is not must find room in the queue."""
        words = {ring: item.fields[field] for field, ring in BROUGHT.items()}
        if not self._loads and self._ready(item) and all(self._space[ring] >= words[ring] for ring in words):
            for ring, count in words.items():
                self._space[ring] -= count
            self._norm_words += words[NORM_RING.name]
            return True
        fits = self._loads < self._arch.load_queue
        self._loads += fits
        return fits

    def _needs(self, fields: Fields) -> dict[Counter, int]:
        """Counters and the values that they must reach before the instruction is over."""
        needs: dict[Counter, int] = {}
        for name, rows in (("wait_b", 0), ("wait_a", fields.get("rows", 0))):
            counter = Counter(fields[name]) if fields.get(name) in set(Counter) else Counter.NONE
            if counter:
                count = self._counted[counter]
                value = count - ((count - fields[f"{name}_base"] + 2**15) % 2**16 - 2**15) + rows
                needs[counter] = max(value, needs.get(counter, value))
        return needs

    def _why(self) -> str:
        """Who waits for whom."""
        parts = [f"LINEAR waits for room in the result FIFO, which holds {self._held} words, until they are stored"]
        for head in (queue[0] for queue in (self._io, self._norm) if queue):
            waits = [f"{name.name} {value}" for name, value in head.needs.items() if self._there[name] < value]
            what = " and ".join(waits) + ", counted behind it" if waits else "parameters"
            parts.append(f"{head.opcode.name} at pc {head.pc} waits for {what}")
        if self._blocked is None:
            parts.append("nothing comes behind")
        else:
            pc, opcode, _ = self._blocked
            parts.append(f"{opcode.name} at pc {pc} finds no room in the queue of {OPS[opcode].unit.name}")
        return "; ".join(parts)
