"""Tile issuer: one operand chunk a cycle to the array, as soon as rows, weights and room are there."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import COUNTER_BITS, PC_BITS, WORD_ADDRESS_BITS, fault, tile_tag
from hwgen.rtl.matmul.issue_gate import STEP, IssueGate
from hwgen.rtl.matmul.ops import op_layout
from hwgen.rtl.matmul.tile_loops import TileLoops, lane_step
from hwgen.rtl.matmul.word_walker import info_layout
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import ErrorCode


class RingReader(wiring.Component):
    """A reader's place in a ring: wrapping address and running total, with a mark to return to.

    Members
    -------
    arrived: In(16), words the ring has received; it counts one cycle later.
    available: Out(1), the word at ``address`` is there.
    step, rewind: In(1), go to the next word, or return to the mark instead. keep: In(1), only with ``step``: go to the
    next word and move the mark there.
    advance: In(10), words to go on with ``step``. reaches: Out(1), so many were there a cycle ago.
    address: Out(16).

    Only words that are there are stepped over, so a place is never ahead of ``arrived``, and equality tells all.
    """

    def __init__(self, depth: int) -> None:
        super().__init__(
            {
                "arrived": In(COUNTER_BITS),
                "available": Out(1),
                "reaches": Out(1),
                "advance": In(10),
                "step": In(1),
                "rewind": In(1),
                "keep": In(1),
                "address": Out(WORD_ADDRESS_BITS),
            }
        )
        self._depth = depth

    def elaborate(self, platform: object) -> Module:
        """Address and running total, both for the mark, too; words of every possible next place are looked for."""
        m = Module()
        bits = self._depth.bit_length()  # a total and ``arrived`` are at most ``depth`` apart
        total, mark_total = Signal(bits), Signal(bits)
        mark, following = Signal(WORD_ADDRESS_BITS), Signal(WORD_ADDRESS_BITS)
        arrived = self.arrived[:bits]
        sum_ = Signal(WORD_ADDRESS_BITS + 1)
        next_total = (total + self.advance)[:bits]
        m.d.comb += [
            sum_.eq(self.address + self.advance),
            following.eq(Mux(sum_ >= self._depth, sum_ - self._depth, sum_)),
        ]
        places = {"stayed": total, "stepped": next_total, "returned": mark_total}
        there = {name: Signal(name=name) for name in places}
        step, back = Signal(), Signal()
        m.d.sync += [there[name].eq(arrived != place) for name, place in places.items()]
        m.d.sync += [
            step.eq(self.step),
            back.eq(self.rewind),
            self.reaches.eq((arrived - total)[:bits] >= self.advance),
        ]
        m.d.comb += self.available.eq(Mux(step, Mux(back, there["returned"], there["stepped"]), there["stayed"]))
        with m.If(self.keep):
            m.d.sync += [mark.eq(following), mark_total.eq(next_total)]
        with m.If(self.step):
            m.d.sync += [self.address.eq(following), total.eq(next_total)]
            with m.If(self.rewind):
                m.d.sync += [self.address.eq(mark), total.eq(mark_total)]
        return m


class WaitingRows(wiring.Component):
    """How many rows wait a cycle later, whether rows begin in this cycle or not.

    A module of its own: synthesis must not mix these sums with the decision to go, which comes late and chooses.

    Parameters
    ----------
    lanes: token lanes.

    Members
    -------
    waiting: In, rows now. load: In(1), one more. one: In(1), one row begins, else ``lanes``.
    stayed, begun: Out, ``rows``, and whether they are ``some`` and ``all``: a row, as many as there are lanes.

    Timing: combinational.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        rows = range(2 * lanes + 1)
        then = data.StructLayout({"rows": rows, "some": 1, "all": 1})
        super().__init__({"waiting": In(rows), "load": In(1), "one": In(1), "stayed": Out(then), "begun": Out(then)})

    def elaborate(self, platform: object) -> Module:
        """Two sums, each compared."""
        m = Module()
        stayed = self.waiting + self.load
        for out, rows in ((self.stayed, stayed), (self.begun, stayed - Mux(self.one, 1, self._lanes))):
            m.d.comb += [out.rows.eq(rows), out.some.eq(rows >= 1), out.all.eq(rows >= self._lanes)]
        return m


class TileIssuer(wiring.Component):
    """Issues one chunk a cycle to the array, and the tag of every tile.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In stream of ops.
    load: In(1), a row slot is loaded; entered, released: Out(16), row slots begun / given back (totals).
    info: In, token and expert score per slot and lane.
    weights_arrived, params_arrived: In(16). weight_address, weight_release, params_release: ring control; a SKIP
    releases parameters here, other ops leave that to the post-processor.
    key_address, value_address, b_source (OpKind), b_int4, b_high, sub: B operand. word, slots, ``sub``: A operand.
    valid, first, last: Out, the chunk issued in this cycle. tag, tag_valid: Out, in the cycle of ``last``.
    gate_space, result_space: In(1), room for the rows of another tile. result_rows: Out, rows promised to the FIFO.
    started, started_pc: Out, first chunk of an instruction. step: Out(1), a step of the attention schedule begins;
    stepping: Out(1), between the first step of a SCORES and its end;
    key_read: Out(1), it reads a key tile. wait_operand, wait_weight, wait_drain, wait_idle: Out(1), why nothing went
    out.
    fault: Out. idle: Out(1).

    Timing: a tile takes max(chunks, token_lanes) cycles; no cycle is lost between tiles and ops; a SKIP takes two
    cycles an output tile. The first chunk of an op that finds the issuer idle goes out ``TileLoops.latency`` cycles
    after the op was taken.
    """

    def __init__(self, arch: ArchConfig) -> None:
        lanes = arch.token_lanes
        flags = ("valid", "first", "last", "tag_valid", "started", "step", "stepping", "key_read", "idle")
        waits = ("wait_operand", "wait_weight", "wait_drain", "wait_idle")
        super().__init__(
            {
                "i": In(stream.Signature(op_layout())),
                "load": In(1),
                "entered": Out(COUNTER_BITS),
                "released": Out(COUNTER_BITS),
                "info": In(data.ArrayLayout(data.ArrayLayout(info_layout(), lanes), 2)),
                "weights_arrived": In(COUNTER_BITS),
                "params_arrived": In(COUNTER_BITS),
                "weight_address": Out(WORD_ADDRESS_BITS),
                "weight_release": Out(16),
                "params_release": Out(16),
                "key_address": Out(WORD_ADDRESS_BITS),
                "value_address": Out(WORD_ADDRESS_BITS),
                "b_source": Out(2),
                "b_int4": Out(1),
                "b_high": Out(1),
                "word": Out(10),
                "sub": Out(4),
                "slots": Out(lanes),
                "tag": Out(tile_tag(arch)),
                "gate_space": In(1),
                "result_space": In(1),
                "result_rows": Out(5),
                "started_pc": Out(PC_BITS),
                "fault": Out(fault()),
                **{name: Out(1) for name in flags + waits},
            }
        )
        self._arch = arch

    def elaborate(self, platform: object) -> Module:
        """Steps of the loop nests, conditions, rows, rings, operands, tag."""
        m = Module()
        m.submodules.loops = self._loops = TileLoops(self._arch)
        wiring.connect(m, wiring.flipped(self.i), self._loops.i)
        self._step, self._busy, self._go = self._loops.o.payload, self._loops.o.valid, Signal()
        m.d.comb += self._loops.o.ready.eq(self._go)
        m.submodules.issue_gate = self._gate = IssueGate()
        self._rings(m)
        self._conditions(m)
        self._rows(m)
        self._operands(m)
        self._tag(m)
        self._report(m)
        return m

    def _rings(self, m: Module) -> None:
        """Weight tiles chunk by chunk, parameters tile by tile; both again for every tile of rows."""
        arch, step = self._arch, self._step
        m.submodules.weights = weights = RingReader(arch.ring_words)
        m.submodules.params = params = RingReader(arch.param_entries)
        m.d.comb += [
            weights.arrived.eq(self.weights_arrived),
            params.arrived.eq(self.params_arrived),
            weights.advance.eq(step.advance),
            params.advance.eq(1),
            weights.step.eq(self._go & step.turns),
            params.step.eq(self._go & step.param_step),
            weights.keep.eq(self._go & step.last_use),
            params.keep.eq(self._go & step.param_last_use),
            weights.rewind.eq(step.tail & step.inner_end & ~step.outer_end),
            params.rewind.eq(step.inner_end & ~step.outer_end),
            self.weight_address.eq(weights.address),
            self.weight_release.eq(Mux(weights.keep, step.advance, 0)),
            self.params_release.eq(params.step & step.is_skip),
        ]
        m.d.sync += self._gate.settled.eq(self._busy & ~self._go)
        m.d.comb += [
            self._gate.word.eq(weights.available),
            self._gate.words.eq(weights.reaches),
            self._gate.param.eq(params.available),
        ]
        self._param_address = params.address

    def _conditions(self, m: Module) -> None:
        """What must hold for a chunk to go out."""
        lanes, step, gate = self._arch.token_lanes, self._step, self._gate
        drained, nearly = Signal(init=1), Signal()  # nearly: in the next cycle, unless another tile ends
        since = Signal(range(lanes + 1), init=lanes)
        m.d.comb += [
            gate.busy.eq(self._busy),
            *(getattr(gate, name).eq(getattr(step, name)) for name in STEP),
            gate.drained.eq(drained),
            gate.gate_space.eq(self.gate_space),
            gate.result_space.eq(self.result_space),
            self._go.eq(gate.go),
        ]
        with m.If(self.last):
            m.d.sync += [since.eq(1), drained.eq(lanes == 1), nearly.eq(lanes == 2)]
        with m.Elif(~drained):
            m.d.sync += [since.eq(since + 1), drained.eq(nearly), nearly.eq(since == lanes - 2)]

    def _rows(self, m: Module) -> None:
        """Row slots begun and given back; those loaded and not begun, and whether they are enough, a cycle ahead."""
        step, lanes = self._step, self._arch.token_lanes
        with m.If(self._go):
            m.d.sync += self.released.eq(self.released + step.releases)
            with m.If(step.enters):
                m.d.sync += self.entered.eq(self.entered + step.rows)
        m.submodules.waiting_rows = rows = WaitingRows(lanes)
        waiting, then = Signal(range(2 * lanes + 1)), Signal.like(rows.begun)
        m.d.comb += [
            rows.waiting.eq(waiting),
            rows.load.eq(self.load),
            rows.one.eq(step.is_scores),
            then.eq(Mux(self._go & step.enters, rows.begun, rows.stayed)),
        ]
        m.d.sync += [waiting.eq(then.rows), self._gate.one_row.eq(then.some), self._gate.all_rows.eq(then.all)]

    def _operands(self, m: Module) -> None:
        """A and B operands of this cycle."""
        step = self._step
        m.d.comb += [
            self.key_address.eq(step.key_address),
            self.value_address.eq(step.value_address),
            self.b_source.eq(step.op.kind),
            self.b_int4.eq(step.op.int4),
            self.b_high.eq(step.high),
            self.word.eq(step.word),
            self.sub.eq(step.sub),
            self.slots.eq(step.slots),
            self.valid.eq(self._go & step.chunk),
            self.first.eq(step.head),
            self.last.eq(self._go & step.last),
            self.fault.valid.eq(self.valid & step.outside),
            self.fault.code.eq(int(ErrorCode.OUT_OF_BOUNDS)),
            self.fault.pc.eq(step.op.pc),
        ]

    def _tag(self, m: Module) -> None:
        """What the post-processor is told about the tile that ends in this cycle."""
        step, tag = self._step, self.tag
        copied = ("pc", "destination", "counter", "finish_count", "dst_base", "dst_stride", "mult", "shift", "bias")
        copied += ("mult2", "shift2", "zero", "slot", "keys", "observe", "experts", "top_k", "renormalise")
        m.d.comb += [getattr(tag, name).eq(getattr(step.op, name)) for name in copied]
        m.d.comb += [
            self.tag_valid.eq(self.last),
            tag.out_tile.eq(step.out_tile),
            tag.first_tile.eq(step.opening),
            tag.last_tile.eq(step.inner_end),
            tag.finish.eq(step.op.finish & step.inner_end & step.outer_end),
            tag.param.eq(self._param_address),
            tag.param_release.eq(step.uses & step.outer_end),
        ]
        for lane in range(self._arch.token_lanes):
            out, known, info = tag.lanes[lane], step.lanes[lane], self.info[step.slots[lane]][lane]
            m.d.comb += [getattr(out, name).eq(getattr(known, name)) for name in lane_step().members]
            m.d.comb += [out.row.eq(info.token), out.score.eq(info.score)]

    def _report(self, m: Module) -> None:
        """Events for counters and traces."""
        step, gate, waiting = self._step, self._gate, Signal()
        m.d.comb += [
            self.started.eq(self._go & step.op.first & step.opening & step.head),
            self.started_pc.eq(step.op.pc),
            self.result_rows.eq(Mux(self._go & step.head & step.result, step.count, 0)),
            self.step.eq(self._go & step.key_step),
            self.stepping.eq(self._busy & step.is_scores & ~(step.opening & step.head)),
            self.key_read.eq(self._go & step.key_read),
            waiting.eq(self._busy & ~self._go),
            self.wait_operand.eq(waiting & ~gate.operand_ok),
            self.wait_weight.eq(waiting & gate.operand_ok & ~gate.weight_ok),
            self.wait_drain.eq(waiting & gate.operand_ok & gate.weight_ok),
            self.wait_idle.eq(~self._busy),
            self.idle.eq(self._loops.idle & ~self.i.valid),
        ]
