"""Operand loader: fetches the rows of A, ahead of the array, one word a cycle.

Control in two halves: `RowWalker` decides which row comes next, waits for it and finds its address; `WordWalker`
streams its words. The datapath behind them has one fixed latency for every source.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.decode import reached
from hwgen.rtl.interfaces import (
    ADDRESS_BITS,
    COUNTER_BITS,
    PC_BITS,
    READ_LATENCY,
    ROW_BITS,
    RowFactor,
    fault,
    read_port,
    table_bus,
)
from hwgen.rtl.ops import COUNTERS, OpKind, RowSource, op_layout
from hwgen.rtl.probability import ProbabilityLanes
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import ErrorCode

REFILL_CYCLES = 7  # a slot that is given back is not written for more than so many cycles


def row_layout(arch: ArchConfig) -> data.StructLayout:
    """A row that may be read now."""
    return data.StructLayout(
        {
            "pc": PC_BITS,
            "pad": 1,  # lane past the last row of an op: nothing to read
            "source": 2,  # 0 norm, 1 activation, 2 scores
            "address": ADDRESS_BITS + 2,
            "words": 10,
            "keys": ROW_BITS,  # scores: valid elements
            "octave": 5,
            "lane": max(1, (arch.token_lanes - 1).bit_length()),
            "slot": 1,
            "token": ROW_BITS,
            "score": 16,
        }
    )


def info_layout() -> data.StructLayout:
    """What the issuer must know of a loaded row."""
    return data.StructLayout({"token": ROW_BITS, "score": 16})


def _word_layout(arch: ArchConfig) -> data.StructLayout:
    """What travels with a word from its address to its write."""
    lane = max(1, (arch.token_lanes - 1).bit_length())
    return data.StructLayout(
        {
            "write": 1,
            "last": 1,
            "source": 2,
            "lane": lane,
            "slot": 1,
            "word": 10,
            "keys": ROW_BITS,
            "octave": 5,
            "info": info_layout(),
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

    Timing: a row takes 3 cycles (enough for the octave of a context row), a row by queue READ_LATENCY + 5.
    """

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(op_layout())),
                "o": Out(stream.Signature(row_layout(arch))),
                "counters": In(data.ArrayLayout(COUNTER_BITS, COUNTERS)),
                "queue_expert": Out(6),
                "queue_position": Out(ROW_BITS),
                "queue_token": In(ROW_BITS),
                "queue_score": In(16),
                "factor": Out(read_port(RowFactor.as_shape().size)),
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
        """WAIT for the row, LOOKUP what it needs, EMIT it."""
        m = Module()
        op = self.i.payload
        row, lane, slot = Signal(ROW_BITS), Signal(range(max(self._arch.token_lanes, 2))), Signal()
        address, taken = Signal(ADDRESS_BITS + 2), Signal(COUNTER_BITS)
        pad = row >= op.rows
        wide = Signal(ADDRESS_BITS + 2)
        timer = Signal(range(READ_LATENCY + 3))
        product_row = Signal(ROW_BITS)
        looks_up = (op.source == int(RowSource.QUEUE_NORM)) | (op.source == int(RowSource.QUEUE_ACTIVATION))
        m.d.comb += [
            self.queue_expert.eq(op.expert),
            self.queue_position.eq(row),
            self.factor.address.eq(op.slot * self._arch.max_tokens + row),
        ]
        free = Signal()
        m.d.comb += free.eq(self._free(m, op, taken))
        m.d.sync += product_row.eq(Mux(op.source == int(RowSource.QUEUE_NORM), self.queue_token, row))
        m.d.sync += wide.eq(op.src_base + product_row * op.src_stride)
        self._describe(m, row, lane, slot, pad)
        with m.FSM() as fsm:
            m.d.comb += self.idle.eq(fsm.ongoing("OP") & ~self.i.valid)
            with m.State("OP"):
                m.d.sync += [row.eq(0), address.eq(op.src_base)]
                with m.If(self.i.valid):
                    with m.If(op.kind == int(OpKind.SKIP)):
                        m.d.comb += self.i.ready.eq(1)
                    with m.Elif(reached(self.counters, op.wait_b, op.wait_b_base, 0)):
                        m.next = "WAIT"
                    with m.Else():
                        m.d.comb += self.dependent.eq(1)
            with m.State("WAIT"):
                ready = reached(self.counters, op.wait_a, op.wait_a_base, row + 1)
                with m.If(free & (pad | ready)):
                    m.d.sync += timer.eq(0)
                    m.next = "LOOKUP"
                m.d.comb += self.dependent.eq(free & ~pad & ~ready)
            with m.State("LOOKUP"):
                m.d.sync += timer.eq(timer + 1)
                with m.If(pad | ~looks_up | (timer == READ_LATENCY + 2)):
                    m.next = "EMIT"
            with m.State("EMIT"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.address.eq(Mux(looks_up, wide, address))]
                with m.If(self.o.ready):
                    m.d.comb += self.query_read.eq((op.kind == int(OpKind.SCORES)) & ~pad)
                    m.d.sync += [row.eq(row + 1), address.eq(address + op.src_stride), taken.eq(taken + 1)]
                    m.next = "WAIT"
                    with m.If(lane == self._arch.token_lanes - 1):
                        m.d.sync += [lane.eq(0), slot.eq(~slot)]
                        with m.If(row + 1 >= op.rows):
                            m.d.comb += self.i.ready.eq(1)
                            m.next = "OP"
                    with m.Else():
                        m.d.sync += lane.eq(lane + 1)
        return m

    def _free(self, m: Module, op: data.View, taken: Signal) -> Value:
        """A slot is free; in SCORES at most token_lanes rows ahead, and one row in a step of the schedule."""
        lanes, read = self._arch.token_lanes, Signal()
        with m.If(self.query_read):
            m.d.sync += read.eq(1)
        with m.Elif(self.step):
            m.d.sync += read.eq(0)
        held = (taken - self.released)[:COUNTER_BITS]
        ahead = (taken - self.entered)[:COUNTER_BITS]
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


class OperandLoader(wiring.Component):
    """Loads rows of A into the operand tile RAM.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In stream of ops. norm, activation, score: read ports of the buffers. factor: read port of the row factors.
    queue_*: read side of the expert queues. counters, entered, released, stepping, step: see `RowWalker`.
    w_*: write side of `OperandRam`. info: Out, per slot and lane the token and expert score.
    loaded: Out(16), row slots loaded in total. query_read, dependent: Out(1). fault: Out. idle: Out(1).

    Timing: one word a cycle; ``latency`` cycles from a word's address to its write. The first word of a row that waited
    for its slot is written more than REFILL_CYCLES cycles after ``released`` was raised.
    """

    def __init__(self, arch: ArchConfig) -> None:
        lanes, width = arch.token_lanes, 8 * arch.output_lanes
        super().__init__(
            {
                "i": In(stream.Signature(op_layout())),
                "table": In(table_bus()),
                "norm": Out(read_port(width)),
                "activation": Out(read_port(width)),
                "score": Out(read_port(10 * arch.output_lanes)),
                "factor": Out(read_port(RowFactor.as_shape().size)),
                "queue_expert": Out(6),
                "queue_position": Out(ROW_BITS),
                "queue_token": In(ROW_BITS),
                "queue_score": In(16),
                "counters": In(data.ArrayLayout(COUNTER_BITS, COUNTERS)),
                "entered": In(COUNTER_BITS),
                "released": In(COUNTER_BITS),
                "stepping": In(1),
                "step": In(1),
                "w_enable": Out(1),
                "w_lane": Out(range(max(lanes, 2))),
                "w_slot": Out(1),
                "w_word": Out(10),
                "w_data": Out(width),
                "info": Out(data.ArrayLayout(data.ArrayLayout(info_layout(), lanes), 2)),
                "loaded": Out(COUNTER_BITS),
                "query_read": Out(1),
                "dependent": Out(1),
                "fault": Out(fault()),
                "idle": Out(1),
            }
        )
        self._arch = arch
        self._probability = ProbabilityLanes(arch)
        self.latency = READ_LATENCY + self._probability.latency

    def elaborate(self, platform: object) -> Module:
        """Row walker -> small FIFO -> word walker -> delay line or probability lanes -> operand tile RAM."""
        m = Module()
        m.submodules.rows = rows = RowWalker(self._arch)
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=row_layout(self._arch).size, depth=4)
        wiring.connect(m, wiring.flipped(self.i), rows.i)
        wiring.connect(m, wiring.flipped(self.factor), rows.factor)
        m.d.comb += [
            rows.counters.eq(self.counters),
            rows.entered.eq(self.entered),
            rows.released.eq(self.released),
            rows.stepping.eq(self.stepping),
            rows.step.eq(self.step),
            self.queue_expert.eq(rows.queue_expert),
            self.queue_position.eq(rows.queue_position),
            rows.queue_token.eq(self.queue_token),
            rows.queue_score.eq(self.queue_score),
            self.query_read.eq(rows.query_read),
            self.dependent.eq(rows.dependent),
            queue.w_data.eq(rows.o.payload),
            queue.w_en.eq(rows.o.valid),
            rows.o.ready.eq(queue.w_rdy),
        ]
        m.d.comb += self.idle.eq(rows.idle & (queue.level == 0))
        self._words(m, queue)
        return m

    def _words(self, m: Module, queue: fifo.SyncFIFOBuffered) -> None:
        """Streams the words of the row at the head of the FIFO."""
        arch = self._arch
        row = data.View(row_layout(arch), queue.r_data)
        word, left = Signal(10), Signal(ROW_BITS)
        keys_left = Mux(word == 0, row.keys, left)
        last = row.pad | (word + 1 == row.words)
        address = Signal(ADDRESS_BITS + 2)
        depth = Mux(row.source == 0, arch.norm_words, Mux(row.source == 1, arch.activation_words, arch.score_words))
        m.d.comb += [address.eq(row.address + word), queue.r_en.eq(queue.r_rdy & last)]
        for port in (self.norm, self.activation, self.score):
            m.d.comb += port.address.eq(address)
        with m.If(queue.r_rdy):
            m.d.sync += [word.eq(Mux(last, 0, word + 1)), left.eq(keys_left - arch.output_lanes)]
            out = ~row.pad & ((address >= depth) | (row.words > arch.words(arch.max_inputs)))
            m.d.comb += [
                self.fault.valid.eq(out),
                self.fault.code.eq(int(ErrorCode.OUT_OF_BOUNDS)),
                self.fault.pc.eq(row.pc),
            ]
        head = Signal(_word_layout(arch))
        m.d.comb += [
            head.write.eq(queue.r_rdy & ~row.pad),
            head.last.eq(queue.r_rdy & last),
            head.source.eq(row.source),
            head.lane.eq(row.lane),
            head.slot.eq(row.slot),
            head.word.eq(word),
            head.keys.eq(keys_left),
            head.octave.eq(row.octave),
            head.info.token.eq(row.token),
            head.info.score.eq(row.score),
        ]
        self._datapath(m, head)

    def _datapath(self, m: Module, head: data.View) -> None:
        """Fixed latency: buffer read, then probability lanes beside a delay line of the same length."""
        arch = self._arch
        m.submodules.probability = probability = self._probability
        wiring.connect(m, wiring.flipped(self.table), probability.table)
        early = self._delay(m, head, READ_LATENCY - 1, "early")
        read = self._delay(m, early, 1, "read")
        m.d.comb += [
            probability.valid.eq(read.write),
            probability.scores.eq(self.score.data),
            probability.octave.eq(read.octave.as_signed()),
        ]
        mask = Signal(arch.output_lanes)  # of ``read``
        m.d.sync += mask.eq(Cat(early.keys > lane for lane in range(arch.output_lanes)))
        m.d.comb += [probability.mask[lane].eq(mask[lane]) for lane in range(arch.output_lanes)]
        plain = Signal(8 * arch.output_lanes)
        m.d.comb += plain.eq(Mux(read.source == 0, self.norm.data, self.activation.data))
        done = self._delay(m, read, probability.latency, "done")
        delayed = self._delay(m, plain, probability.latency, "plain")
        m.d.comb += [
            self.w_enable.eq(done.write),
            self.w_lane.eq(done.lane),
            self.w_slot.eq(done.slot),
            self.w_word.eq(done.word),
            self.w_data.eq(Mux(done.source == 2, probability.p, delayed)),
        ]
        with m.If(done.last):
            m.d.sync += [self.loaded.eq(self.loaded + 1), self.info[done.slot][done.lane].eq(done.info)]

    @staticmethod
    def _delay(m: Module, value: Signal | data.View, cycles: int, name: str) -> Signal | data.View:
        for stage in range(cycles):
            following = Signal(value.shape(), name=f"{name}_{stage}")
            m.d.sync += following.eq(value)
            value = following
        return value
