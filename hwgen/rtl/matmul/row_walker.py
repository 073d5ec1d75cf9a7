"""Row walker: decides which row of A comes next, waits for it and finds its address."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.decode import reached
from hwgen.rtl.lib.interfaces import (
    COUNTER_BITS,
    EXPERT_BITS,
    EXPERT_SCORE_BITS,
    PC_BITS,
    PROGRESS_COUNTERS,
    ROW_BITS,
    WORD_ADDRESS_BITS,
    RowFactor,
    buffer_read,
)
from hwgen.rtl.matmul.ops import OpKind, RowSource, op_layout
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import ROW_FACTOR
from hwgen.spec.choices import READ_LATENCY


def row_layout(arch: ArchConfig) -> data.StructLayout:
    """A row that may be read now."""
    return data.StructLayout(
        {
            "pc": PC_BITS,
            "pad": 1,  # lane past the last row of an op: nothing to read
            "source": 2,  # 0 norm, 1 activation, 2 scores
            "address": WORD_ADDRESS_BITS + 2,
            "words": 10,
            "keys": ROW_BITS,  # scores: valid elements
            "octave": 5,
            "lane": max(1, (arch.token_lanes - 1).bit_length()),
            "slot": 1,
            "token": ROW_BITS,
            "score": EXPERT_SCORE_BITS,
        }
    )


class RowWalker(wiring.Component):
    """Walks the rows of every op and releases each when its data, its slot and its turn have come.

    Members
    -------
    i: In stream of ops. o: Out stream of ``row_layout``.
    counters: In, progress counters.
    queue_expert, queue_position: Out; queue_token, queue_score: In, READ_LATENCY later.
    factor: Out(read_port), row factor of a query (for its octave).
    entered, released: In(16), row slots that the issuer has begun / given back in total.
    stepping: In(1), the issuer is in the steps of a SCORES; step: In(1), a step begins.
    query_read: Out(1), a query row of SCORES begins to be read. dependent: Out(1), waiting for a progress counter.
    idle: Out(1).

    Timing: a row takes ``interval`` cycles (enough for the octave of a context row), by queue ``lookup_cycles`` more.
    """

    interval = 3
    lookup_cycles = READ_LATENCY + 1  # queue entry, then registers for row, product and sum; the wait hides two

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(op_layout())),
                "o": Out(stream.Signature(row_layout(arch))),
                "counters": In(data.ArrayLayout(COUNTER_BITS, PROGRESS_COUNTERS)),
                "queue_expert": Out(EXPERT_BITS),
                "queue_position": Out(ROW_BITS),
                "queue_token": In(ROW_BITS),
                "queue_score": In(EXPERT_SCORE_BITS),
                "factor": Out(buffer_read(ROW_FACTOR, arch)),
                "entered": In(COUNTER_BITS),
                "released": In(COUNTER_BITS),
                "stepping": In(1),
                "step": In(1),
                "query_read": Out(1),
                "dependent": Out(1),
                "idle": Out(1),
            }
        )
        self._arch = arch

    def elaborate(self, platform: object) -> Module:
        """OP: an op begins. WAIT for a row, LOOKUP what it needs, EMIT it."""
        m = Module()
        op = self.i.payload
        self._row, self._lane = Signal(ROW_BITS, name="row"), Signal(range(max(self._arch.token_lanes, 2)), name="lane")
        self._slot = Signal(name="slot")
        self._taken = Signal(range(2 * self._arch.token_lanes + 1), name="taken")  # rows so far
        self._left = Signal(ROW_BITS, name="left")  # rows from this one on
        self._pad, self._final = Signal(name="pad"), Signal(name="final")  # ... none of them; one at most
        self._due = Signal(COUNTER_BITS, name="due")  # count of ``wait_a`` with this row
        self._address = Signal(WORD_ADDRESS_BITS + 2, name="address")
        self._looks_up = (op.source == int(RowSource.QUEUE_NORM)) | (op.source == int(RowSource.QUEUE_ACTIVATION))
        found = self._find(m, op)
        free = Signal()
        m.d.comb += free.eq(self._free(m, op, self._taken))
        self._describe(m, self._row, self._lane, self._slot, self._pad)
        with m.FSM() as fsm:
            m.d.comb += self.idle.eq(fsm.ongoing("OP") & ~self.i.valid)
            self._begin(m, op)
            self._wait(m, op, free)
            self._emit(m, op, found)
        return m

    def _find(self, m: Module, op: data.View) -> Signal:
        """Ask for the octave and for the entry of the token queue; the address of a row that the queue names."""
        product_row, product = Signal(ROW_BITS), Signal(WORD_ADDRESS_BITS + 2)
        wide = Signal(WORD_ADDRESS_BITS + 2)
        m.d.comb += [
            self.queue_expert.eq(op.expert),
            self.queue_position.eq(self._row),
            self.factor.address.eq(op.slot * self._arch.max_tokens + self._row),
        ]
        m.d.sync += product_row.eq(Mux(op.source == int(RowSource.QUEUE_NORM), self.queue_token, self._row))
        m.d.sync += [product.eq(product_row * op.src_stride), wide.eq(op.src_base + product)]
        return wide

    def _begin(self, m: Module, op: data.View) -> None:
        """An op begins when what it waits for at once (``wait_b``) is there; a SKIP has no rows."""
        with m.State("OP"):
            m.d.sync += [self._row.eq(0), self._address.eq(op.src_base), self._due.eq(op.wait_a_base + 1)]
            m.d.sync += [self._left.eq(op.rows), self._pad.eq(op.rows == 0), self._final.eq(op.rows <= 1)]
            with m.If(self.i.valid):
                with m.If(op.kind == int(OpKind.SKIP)):
                    m.d.comb += self.i.ready.eq(1)
                with m.Elif(reached(self.counters, op.wait_b, op.wait_b_base, 0)):
                    m.next = "WAIT"
                with m.Else():
                    m.d.comb += self.dependent.eq(1)

    def _wait(self, m: Module, op: data.View, free: Signal) -> None:
        """A row waits for a slot and for its data, then for what is looked up."""
        timer = Signal(range(self.lookup_cycles + 1))
        with m.State("WAIT"):
            ready = reached(self.counters, op.wait_a, self._due, 0)
            with m.If(free & (self._pad | ready)):
                m.d.sync += timer.eq(0)
                m.next = "LOOKUP"
            m.d.comb += self.dependent.eq(free & ~self._pad & ~ready)
        with m.State("LOOKUP"):
            m.d.sync += timer.eq(timer + 1)
            with m.If(self._pad | ~self._looks_up | (timer == self.lookup_cycles)):
                m.next = "EMIT"

    def _emit(self, m: Module, op: data.View, found: Signal) -> None:
        """A row goes out; the lanes of a slot are filled, with padding behind the last row."""
        lane, left, final = self._lane, self._left, self._final
        with m.State("EMIT"):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.address.eq(Mux(self._looks_up, found, self._address))]
            with m.If(self.o.ready):
                m.d.comb += self.query_read.eq((op.kind == int(OpKind.SCORES)) & ~self._pad)
                m.d.sync += [left.eq(left - 1), self._pad.eq(final), final.eq(final | (left == 2))]
                m.d.sync += [
                    self._row.eq(self._row + 1),
                    self._due.eq(self._due + 1),
                    self._address.eq(self._address + op.src_stride),
                    self._taken.eq(self._taken + 1),
                ]
                m.next = "WAIT"
                with m.If(lane == self._arch.token_lanes - 1):
                    m.d.sync += [lane.eq(0), self._slot.eq(~self._slot)]
                    with m.If(final):
                        m.d.comb += self.i.ready.eq(1)
                        m.next = "OP"
                with m.Else():
                    m.d.sync += lane.eq(lane + 1)

    def _free(self, m: Module, op: data.View, taken: Signal) -> Value:
        """A slot is free; in SCORES at most token_lanes rows ahead, and one row in a step of the schedule."""
        lanes, read = self._arch.token_lanes, Signal()
        with m.If(self.query_read):
            m.d.sync += read.eq(1)
        with m.Elif(self.step):
            m.d.sync += read.eq(0)
        held = (taken - self.released)[: len(taken)]
        ahead = (taken - self.entered)[: len(taken)]
        in_turn = (ahead < lanes) & ~(self.stepping & read & ~self.step)
        return (held < 2 * lanes) & ((op.kind != int(OpKind.SCORES)) | in_turn)

    def _describe(self, m: Module, row: Signal, lane: Signal, slot: Signal, pad: Signal) -> None:
        op, out, arch = self.i.payload, self.o.payload, self._arch
        by_queue = (op.source == int(RowSource.QUEUE_NORM)) | (op.source == int(RowSource.QUEUE_ACTIVATION))
        activation = (op.source == int(RowSource.ACTIVATION)) | (op.source == int(RowSource.QUEUE_ACTIVATION))
        subwords_log2 = arch.subwords.bit_length() - 1
        factor = data.View(RowFactor.as_shape(), self.factor.data)
        m.d.comb += [
            out.pc.eq(op.pc),
            out.pad.eq(pad),
            out.source.eq(Mux(op.kind == int(OpKind.CONTEXT), 2, activation)),
            out.words.eq((op.in_chunks + arch.subwords - 1) >> subwords_log2),
            out.keys.eq(op.keys),
            out.octave.eq(factor.octave),
            out.lane.eq(lane),
            out.slot.eq(slot),
            out.token.eq(Mux(op.source == int(RowSource.QUEUE_ACTIVATION), self.queue_token, row)),
            out.score.eq(Mux(by_queue, self.queue_score, 0)),
        ]
