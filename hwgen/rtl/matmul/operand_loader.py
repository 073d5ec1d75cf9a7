"""Operand loader: fetches the rows of A, ahead of the array, one word a cycle.

Control in two halves: `RowWalker` decides which row comes next, waits for it and finds its address; `WordWalker`
streams its words. The datapath behind them has one fixed latency for every source.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import (
    COUNTER_BITS,
    EXPERT_BITS,
    EXPERT_SCORE_BITS,
    PROGRESS_COUNTERS,
    ROW_BITS,
    buffer_read,
    fault,
    table_bus,
)
from hwgen.rtl.matmul.ops import op_layout
from hwgen.rtl.matmul.probability import ProbabilityLanes
from hwgen.rtl.matmul.row_walker import RowWalker, row_layout
from hwgen.rtl.matmul.word_walker import WordWalker, info_layout
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import ACTIVATION, NORM, ROW_FACTOR, SCORE
from hwgen.spec.choices import READ_LATENCY, ROW_QUEUE


class OperandLoader(wiring.Component):
    """Loads rows of A into the operand tile RAM.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In stream of ops. norm, activation, score: read ports of the buffers. factor: read port of the row factors.
    queue_*: read side of the expert queues. counters, entered, released, stepping, step: see `RowWalker`.
    w_*: write side of `OperandRam`. load: Out(1), a row slot has its last word, readable in the next cycle.
    info: Out, per slot and lane the token and expert score. query_read, dependent: Out(1). fault: Out. idle: Out(1).

    Timing: one word a cycle; ``latency`` cycles from a word's address to its write. The first word of a row that waited
    for its slot is written more than REFILL_CYCLES cycles after ``released`` was raised.
    """

    def __init__(self, arch: ArchConfig) -> None:
        lanes, width = arch.token_lanes, 8 * arch.output_lanes
        super().__init__(
            {
                "i": In(stream.Signature(op_layout())),
                "table": In(table_bus()),
                "norm": Out(buffer_read(NORM, arch)),
                "activation": Out(buffer_read(ACTIVATION, arch)),
                "score": Out(buffer_read(SCORE, arch)),
                "factor": Out(buffer_read(ROW_FACTOR, arch)),
                "queue_expert": Out(EXPERT_BITS),
                "queue_position": Out(ROW_BITS),
                "queue_token": In(ROW_BITS),
                "queue_score": In(EXPERT_SCORE_BITS),
                "counters": In(data.ArrayLayout(COUNTER_BITS, PROGRESS_COUNTERS)),
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
                "load": Out(1),
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
        m.submodules.queue = queue = fifo.SyncFIFO(width=row_layout(self._arch).size, depth=ROW_QUEUE)
        m.submodules.words = words = WordWalker(self._arch)
        wiring.connect(m, wiring.flipped(self.i), rows.i)
        wiring.connect(m, wiring.flipped(self.factor), rows.factor)
        wiring.connect(m, words.fault, wiring.flipped(self.fault))
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
            words.i.payload.eq(queue.r_data),
            words.i.valid.eq(queue.r_rdy),
            queue.r_en.eq(words.i.ready),
            self.idle.eq(rows.idle & ~queue.r_rdy & words.idle),
            *(port.address.eq(words.address) for port in (self.norm, self.activation, self.score)),
        ]
        self._datapath(m, words.o)
        return m

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
        low = early.keys[: arch.output_lanes.bit_length() - 1]
        whole = early.keys[len(low) :].any()
        m.d.sync += mask.eq(Cat(*(whole | (low > lane) for lane in range(arch.output_lanes - 1)), whole))
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
        m.d.comb += self.load.eq(done.last)
        with m.If(done.last):
            m.d.sync += self.info[done.slot][done.lane].eq(done.info)

    @staticmethod
    def _delay(m: Module, value: Signal | data.View, cycles: int, name: str) -> Signal | data.View:
        for stage in range(cycles):
            following = Signal(value.shape(), name=f"{name}_{stage}")
            m.d.sync += following.eq(value)
            value = following
        return value
