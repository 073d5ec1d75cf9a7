"""The loop nests of the compute unit as a stream of steps: everything that is known before anything must be waited for.

Plain loop (LINEAR, CONTEXT): tile of rows, output tile, chunk. Reordered attention (SCORES): block, key step, chunk;
``outer`` is the tile of rows or the block, ``inner`` the output tile or the key step.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import ROW_BITS, WORD_ADDRESS_BITS
from hwgen.rtl.lib.stream_buffer import StreamBuffer
from hwgen.rtl.matmul.ops import OpKind, op_layout
from hwgen.spec.arch import ArchConfig
from hwgen.spec.choices import REFILL_CYCLES
from hwgen.spec.isa import Destination


def lane_step() -> data.StructLayout:
    """One lane in a step; see ``lane_tag``."""
    return data.StructLayout({"valid": 1, "key_tile": 8, "first_key": 1, "last_key": 1})


def step_layout(arch: ArchConfig) -> data.StructLayout:
    """One chunk, or one step without a chunk."""
    lanes = arch.token_lanes
    return data.StructLayout(
        {
            "op": op_layout(),
            "is_scores": 1,
            "is_skip": 1,
            "opening": 1,  # in the first tile of the op
            "head": 1,  # first cycle of a tile or of a key step
            "tail": 1,  # its last cycle
            "key_step": 1,  # first cycle of a key step ...
            "key_read": 1,  # ... that has a key tile
            "chunk": 1,  # operands go to the array
            "last": 1,  # with the last chunk of a tile
            "enters": 1,  # a query enters (SCORES) or a tile of rows begins ...
            "rows": range(lanes + 1),  # ... which needs so many row slots
            "releases": range(lanes + 2),  # row slots given back
            "uses": 1,  # weights and parameters
            "turns": 1,  # the last of those that use its ring word of weights
            "last_use": 1,  # ... not again
            "param_step": 1,  # the last of those that use its parameters
            "param_last_use": 1,  # ... not again
            "advance": 10,  # words of weights to turn over
            "high": 1,  # the chunk lies in the high nibbles of the word
            "inner_end": 1,  # last output tile or key step
            "outer_end": 1,  # last tile of rows or block
            "gate": 1,  # the tile goes to the gate
            "result": 1,  # the tile goes to the results
            "count": range(lanes + 1),  # rows of this tile
            "word": 10,
            "sub": 4,
            "slots": lanes,
            "key_address": WORD_ADDRESS_BITS,
            "value_address": WORD_ADDRESS_BITS,
            "outside": 1,  # the address of the key or value is outside its buffer
            "out_tile": 10,
            "lanes": data.ArrayLayout(lane_step(), lanes),
        }
    )


class TileLoops(wiring.Component):
    """Walks the loop nest of one op after the other.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In stream of ops. o: Out stream of steps; from registers, and ready reaches nothing but registers.
    idle: Out(1), neither an op nor a step here.

    Timing: a step a cycle while they are taken, also from op to op; the first one ``latency`` cycles after its op.
    """

    latency = 2  # op register, step register

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(op_layout())),
                "o": Out(stream.Signature(step_layout(arch))),
                "idle": Out(1),
            }
        )
        self._arch = arch

    def elaborate(self, platform: object) -> Module:
        """Current op, loop counters, the step that they describe, and a buffer of two."""
        m = Module()
        self._state(m)
        self._loops(m)
        self._step(m)
        self._rows(m)
        self._addresses(m)
        self._current_op(m)
        self._lanes(m)
        self._buffer(m)
        return m

    def _state(self, m: Module) -> None:
        """Registers and the facts that follow from them."""
        lanes = self._arch.token_lanes
        self._op, self._busy = Signal(op_layout()), Signal()
        self._chunks_left = Signal(10)  # behind this one, in the tile
        self._last_chunk = Signal(10)
        self._one_chunk = Signal()  # tiles of a single chunk
        self._few_chunks = Signal()  # all of a tile within REFILL_CYCLES of its end
        self._at_last_chunk = Signal()
        self._at_back_chunk = Signal()  # in the last output tile, the slot goes back with this chunk
        self._long = Signal()  # a tile does not wait for the drain
        self._inner = Signal(10)
        self._inner_left = Signal(10)  # behind this one
        self._last_inner = Signal(10)
        self._one_inner = Signal()
        self._first_inner = Signal()  # inner = 0
        self._filling = Signal()  # inner < lanes
        self._older = Signal(lanes, init=2**lanes - 2)  # inner < lane, of every lane: a comparison would be deep
        self._head = Signal()
        self._at_last_inner = Signal()
        self._no_key = Signal()  # a step of the schedule without a key tile
        self._idle_steps = Signal(range(lanes + 1))  # steps of a block that wait for lanes to take their queries
        self._late = Signal(lanes)  # lanes that take their query after the idle steps and end in the next block
        self._row = Signal(WORD_ADDRESS_BITS + 2)  # key or value row of this step, at the first word of the head
        self._word = Signal(10)
        self._sub = Signal(4)
        self._odd = Signal()  # chunks 1, 3, ... of a tile
        self._advance = Signal(10)  # ring words that a step turns over
        self._left = Signal(ROW_BITS)  # rows from the first row of this tile to the end; 0 in the last, partial block
        self._more = Signal()  # more rows than those of this tile
        self._count = Signal(range(lanes + 1))  # valid lanes of this tile of rows
        self._previous = Signal(range(lanes + 1))  # valid lanes of the previous block
        self._opening = Signal()  # first tile of the op
        self._first_rows = Signal()  # first tile of rows of the op
        self._slot = Signal()
        self._made = Signal(step_layout(self._arch))  # the step of this cycle
        self._go = Signal()  # it is taken
        step = self._made
        self._is_linear = Signal()
        self._is_scores = Signal()
        self._is_skip = Signal()
        self._outer_end = Signal()  # this is the last tile of rows or block
        self._done = Signal()
        m.d.comb += [
            step.is_scores.eq(self._is_scores),
            step.is_skip.eq(self._is_skip),
            step.head.eq(self._head),
            step.tail.eq(self._at_last_chunk | self._no_key | step.is_skip),
            step.inner_end.eq(self._at_last_inner),
            step.outer_end.eq(self._outer_end),
            self._done.eq(self._go & step.tail & step.inner_end & step.outer_end),
        ]

    def _current_op(self, m: Module) -> None:
        """The next op is taken in the cycle in which the current one ends, and overrides what that cycle does."""
        lanes, new = self._arch.token_lanes, self.i.payload
        scores = new.kind == int(OpKind.SCORES)
        short = scores & (new.out_tiles < lanes)
        whole = Mux(short, lanes - 1, new.out_tiles - 1)
        more = new.rows > lanes
        m.d.comb += self.i.ready.eq(~self._busy | self._done)
        with m.If(self.i.ready):
            m.d.sync += [
                self._busy.eq(self.i.valid),
                self._op.eq(new),
                self._is_scores.eq(scores),
                self._is_skip.eq(new.kind == int(OpKind.SKIP)),
                self._is_linear.eq(new.kind == int(OpKind.LINEAR)),
                self._outer_end.eq((new.kind == int(OpKind.SKIP)) | Mux(scores, new.rows <= 1, new.rows <= lanes)),
                self._opening.eq(1),
                self._first_rows.eq(1),
                self._chunks_left.eq(new.in_chunks - 1),
                self._last_chunk.eq(new.in_chunks - 1),
                self._one_chunk.eq(new.in_chunks == 1),
                self._at_last_chunk.eq(new.in_chunks == 1),
                self._few_chunks.eq(new.in_chunks <= REFILL_CYCLES + 1),
                self._at_back_chunk.eq(new.in_chunks <= REFILL_CYCLES + 1),
                self._last_inner.eq(whole),
                self._inner_left.eq(whole),
                self._one_inner.eq(Mux(short, lanes == 1, new.out_tiles == 1)),
                self._first_inner.eq(1),
                self._filling.eq(1),
                self._head.eq(1),
                self._at_last_inner.eq(Mux(short, lanes == 1, new.out_tiles == 1)),
                self._long.eq(new.in_chunks >= lanes),
                self._no_key.eq(short),
                self._idle_steps.eq(Mux(short, lanes - new.out_tiles, 0)),
                self._late.eq(Cat(~short | (new.out_tiles > lanes - lane) for lane in range(1, lanes)) << 1),
                self._row.eq(new.b_offset),
                self._odd.eq(0),
                self._advance.eq(self._step_words(new)),
                self._left.eq(new.rows),
                self._more.eq(more),
                self._count.eq(Mux(more, lanes, new.rows)),
                self._previous.eq(0),
            ]

    @staticmethod
    def _step_words(op: data.View) -> Value:
        """Ring words that a step with the last use of one goes on by: a SKIP takes those of a whole output tile."""
        pairs = op.in_chunks[1:] + op.in_chunks[0]
        return Mux(op.kind != int(OpKind.SKIP), 1, Mux(op.int4, pairs, op.in_chunks))

    def _loops(self, m: Module) -> None:
        """chunk, inner, outer; what holds in the last chunk or output tile is known a cycle before."""
        step = self._made
        with m.If(self._go):
            m.d.sync += [self._sub.eq(self._sub + 1), self._head.eq(step.tail)]
            m.d.sync += [
                self._chunks_left.eq(Mux(step.tail, self._last_chunk, self._chunks_left - 1)),
                self._at_last_chunk.eq(Mux(step.tail, self._one_chunk, self._chunks_left == 1)),
                self._at_back_chunk.eq(Mux(step.tail, self._few_chunks, self._chunks_left == REFILL_CYCLES + 1)),
            ]
            m.d.sync += self._odd.eq(~self._odd & ~step.tail)
            with m.If(self._sub == self._arch.subwords - 1):
                m.d.sync += [self._sub.eq(0), self._word.eq(self._word + 1)]
            with m.If(step.tail):
                m.d.sync += [self._sub.eq(0), self._word.eq(0), self._opening.eq(0)]
                with m.If(~step.inner_end):
                    self._next_inner(m)
                with m.Else():
                    m.d.sync += [self._inner.eq(0), self._first_inner.eq(1), self._filling.eq(1)]
                    m.d.sync += self._older.eq(self._older.init)
                    m.d.sync += self._first_rows.eq(step.outer_end)
                    with m.If(~step.is_skip & ((self._count != 0) | ~step.is_scores)):
                        m.d.sync += self._slot.eq(~self._slot)
                with m.If(step.inner_end & ~step.outer_end):
                    self._next_rows(m)

    def _next_inner(self, m: Module) -> None:
        """Next output tile or key step."""
        m.d.sync += [
            self._inner.eq(self._inner + 1),
            self._inner_left.eq(self._inner_left - 1),
            self._at_last_inner.eq(self._inner_left == 1),
            self._first_inner.eq(0),
            self._older.eq(self._older << 1),
            self._filling.eq(self._filling & (self._inner[: len(self._idle_steps)] != self._arch.token_lanes - 1)),
            self._no_key.eq(self._no_key & (self._inner[: len(self._idle_steps)] + 1 != self._idle_steps)),
        ]

    def _next_rows(self, m: Module) -> None:
        """Rows of the next tile; a block without rows of its own ends with the last lane of the one before."""
        lanes = self._arch.token_lanes
        left = Mux(self._more, self._left - lanes, 0)
        more = self._left > 2 * lanes
        partial = self._made.is_scores & ~self._more
        m.d.sync += [
            self._left.eq(left),
            self._more.eq(more),
            self._count.eq(Mux(more, lanes, left)),
            self._previous.eq(self._count),
            self._outer_end.eq(Mux(self._is_scores, ~self._more | (self._left <= lanes + 1), ~more)),
            self._inner_left.eq(Mux(partial, self._count - 2, self._last_inner)),
            self._at_last_inner.eq(Mux(partial, self._count == 2, self._one_inner)),
            self._no_key.eq(self._idle_steps != 0),
        ]

    def _step(self, m: Module) -> None:
        """What the step needs and does."""
        step, op, is_linear = self._made, self._op, self._is_linear
        m.d.comb += [
            step.op.eq(op),
            step.opening.eq(self._opening),
            step.key_step.eq(self._head & self._is_scores),
            step.key_read.eq(self._head & self._is_scores & ~self._no_key),
            step.chunk.eq(~self._no_key & ~step.is_skip),
            step.last.eq(step.chunk & step.tail),
            step.uses.eq(is_linear | step.is_skip),
            step.turns.eq(step.uses & (~op.int4 | self._odd | step.tail)),
            step.last_use.eq(step.turns & step.outer_end),
            step.param_step.eq(step.uses & step.tail),
            step.advance.eq(self._advance),
            step.high.eq(op.int4 & self._odd),
            step.param_last_use.eq(step.param_step & step.outer_end),
            step.gate.eq((op.destination == int(Destination.GATE)) & is_linear),
            step.result.eq((op.destination == int(Destination.RESULT)) & is_linear),
            step.count.eq(self._count),
            step.word.eq(self._word),
            step.sub.eq(self._sub),
            step.out_tile.eq(self._inner),
        ]

    def _rows(self, m: Module) -> None:
        """Row slots begun and given back."""
        lanes, step = self._arch.token_lanes, self._made
        begins = Mux(step.is_scores, self._filling & (self._count != 0), self._first_inner)
        ends = step.tail & step.inner_end & step.outer_end
        again = step.enters & step.is_scores & (self._previous != 0)
        over = self._gives_back() & step.inner_end & ~step.is_scores & ~step.is_skip
        m.d.comb += [
            step.enters.eq(step.head & ~step.is_skip & begins),
            step.rows.eq(Mux(step.is_scores, 1, lanes)),
        ]
        with m.If(again):
            m.d.comb += step.releases.eq(Mux(ends, lanes + 1, 1))
        with m.Elif(over | (ends & step.is_scores)):
            m.d.comb += step.releases.eq(lanes)

    def _gives_back(self) -> Value:
        """In the last output tile of a tile of rows: the chunk with which its slot is given back.

        When nothing can hold the rest of the tile up (weights are there after the first tile of rows, a tile that is
        long enough does not wait for the drain), the slot goes back REFILL_CYCLES early: it is refilled just behind.
        """
        certain = self._long & (~self._is_linear | ~self._first_rows)
        return Mux(certain, self._at_back_chunk, self._made.tail)

    def _addresses(self, m: Module) -> None:
        """A and B operands."""
        arch, op, step = self._arch, self._op, self._made
        key, value = Signal(WORD_ADDRESS_BITS + 2), Signal(WORD_ADDRESS_BITS + 2)
        is_context = op.kind == int(OpKind.CONTEXT)
        m.d.comb += [
            key.eq(self._row + self._word),
            value.eq(self._row + self._inner),
            step.key_address.eq(key),
            step.value_address.eq(value),
            step.outside.eq((step.is_scores & (key >= arch.key_words)) | (is_context & (value >= arch.value_words))),
        ]
        first = self._at_last_chunk & (~self._is_scores | step.inner_end)
        with m.If(self._go & (~self._is_scores | (self._at_last_chunk & ~self._no_key))):
            m.d.sync += self._row.eq(Mux(first, op.b_offset, self._row + op.b_stride))

    def _before(self, lane: int) -> Value:
        """Whether this lane is still at the query of the block before."""
        return self._made.is_scores & self._older[lane]

    def _lanes(self, m: Module) -> None:
        """What every lane holds."""
        step = self._made
        for lane in range(self._arch.token_lanes):
            late = self._late[lane] if lane else Const(0)
            first: Value = self._inner == Mux(late, lane, self._idle_steps)
            last_of_lane: Value = Mux(late, self._inner == max(lane - 1, 0), step.inner_end)
            out = step.lanes[lane]
            m.d.comb += [
                step.slots[lane].eq(self._slot ^ self._before(lane)),
                out.valid.eq(Mux(self._before(lane), lane < self._previous, lane < self._count)),
                out.key_tile.eq(self._inner - self._idle_steps),
                out.first_key.eq(first),
                out.last_key.eq(last_of_lane),
            ]

    def _buffer(self, m: Module) -> None:
        """A step is made without a look at whether one is taken in the same cycle."""
        m.submodules.steps = steps = StreamBuffer(step_layout(self._arch))
        wiring.connect(m, steps.o, wiring.flipped(self.o))
        m.d.comb += [
            steps.i.payload.eq(self._made),
            steps.i.valid.eq(self._busy),
            self._go.eq(self._busy & steps.i.ready),
            self.idle.eq(~self._busy & ~steps.o.valid),
        ]
