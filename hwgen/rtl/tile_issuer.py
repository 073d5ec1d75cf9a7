"""Tile issuer: the loop nests of the compute unit, one operand chunk a cycle.

Plain loop (LINEAR, CONTEXT): tile of rows, output tile, chunk. Reordered attention (SCORES): block, key step, chunk;
``outer`` is the tile of rows or the block, ``inner`` the output tile or the key step.
"""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.interfaces import ADDRESS_BITS, COUNTER_BITS, PC_BITS, ROW_BITS, fault, tile_tag
from hwgen.rtl.operand_loader import REFILL_CYCLES, info_layout
from hwgen.rtl.ops import OpKind, op_layout
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Destination, ErrorCode


class RingReader(wiring.Component):
    """A reader's place in a ring: wrapping address and running total, with a mark to return to.

    Members
    -------
    arrived: In(16), words the ring has received. available: Out(1), the word at ``address`` is there.
    step, rewind, keep: In(1), go to the next word; return to the mark; move the mark to the next place.
    advance: In(16), words to go on with ``step`` (usually 1). reaches: Out(1), ``advance`` words are there.
    address: Out(16).
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
                "address": Out(ADDRESS_BITS),
            }
        )
        self._depth = depth

    def elaborate(self, platform: object) -> Module:
        """Two (address, total) pairs: current and mark."""
        m = Module()
        total, mark_total = Signal(COUNTER_BITS), Signal(COUNTER_BITS)
        mark, following = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        sum_ = Signal(ADDRESS_BITS + 1)
        ahead = (self.arrived - total)[:COUNTER_BITS]
        next_total = (total + self.advance)[:COUNTER_BITS]
        m.d.comb += [
            sum_.eq(self.address + self.advance),
            following.eq(Mux(sum_ >= self._depth, sum_ - self._depth, sum_)),
            self.available.eq((ahead != 0) & ~ahead[15]),
            self.reaches.eq(~(self.arrived - next_total)[15]),
        ]
        with m.If(self.step):
            m.d.sync += [self.address.eq(following), total.eq(next_total)]
            with m.If(self.keep):
                m.d.sync += [mark.eq(following), mark_total.eq(next_total)]
            with m.Elif(self.rewind):
                m.d.sync += [self.address.eq(mark), total.eq(mark_total)]
        return m


class TileIssuer(wiring.Component):
    """Issues one chunk a cycle to the array, and the tag of every tile.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In stream of ops.
    loaded: In(16), row slots loaded; entered, released: Out(16), row slots begun / given back (totals).
    info: In, token and expert score per slot and lane.
    weights_arrived, params_arrived: In(16). weight_address, weight_release, params_release: ring control; a SKIP
    releases parameters here, other ops leave that to the post-processor.
    key_address, value_address, b_source (OpKind), sub: B operand. word, slots: A operand (with ``sub``).
    valid, first, last: Out, the chunk issued in this cycle. tag, tag_valid: Out, in the cycle of ``last``.
    gate_space, result_space: In(1), room for the rows of another tile. result_rows: Out, rows promised to the FIFO.
    started, started_pc: Out, first chunk of an instruction. step: Out(1), a step of the attention schedule begins;
    stepping: Out(1), between the first step of a SCORES and its end;
    key_read: Out(1), it reads a key tile. wait_operand, wait_weight, wait_drain, wait_idle: Out(1), why nothing went
    out.
    fault: Out. idle: Out(1).

    Timing: a tile takes max(chunks, token_lanes) cycles; no cycle is lost between tiles and ops.
    """

    def __init__(self, arch: ArchConfig) -> None:
        lanes = arch.token_lanes
        flags = ("valid", "first", "last", "tag_valid", "started", "step", "stepping", "key_read", "idle")
        waits = ("wait_operand", "wait_weight", "wait_drain", "wait_idle")
        super().__init__(
            {
                "i": In(stream.Signature(op_layout())),
                "loaded": In(COUNTER_BITS),
                "entered": Out(COUNTER_BITS),
                "released": Out(COUNTER_BITS),
                "info": In(data.ArrayLayout(data.ArrayLayout(info_layout(), lanes), 2)),
                "weights_arrived": In(COUNTER_BITS),
                "params_arrived": In(COUNTER_BITS),
                "weight_address": Out(ADDRESS_BITS),
                "weight_release": Out(16),
                "params_release": Out(16),
                "key_address": Out(ADDRESS_BITS),
                "value_address": Out(ADDRESS_BITS),
                "b_source": Out(2),
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
        """Current op, conditions, loop counters, operand addresses, tag."""
        m = Module()
        self._state(m)
        self._current_op(m)
        self._conditions(m)
        self._loops(m)
        self._rows(m)
        self._rings(m)
        self._addresses(m)
        self._tag(m)
        self._report(m)
        return m

    def _state(self, m: Module) -> None:
        """Registers and the facts that follow from them."""
        lanes = self._arch.token_lanes
        self._op, self._busy = Signal(op_layout()), Signal()
        self._inner, self._chunk = Signal(10), Signal(10)
        self._word, self._sub = Signal(10), Signal(4)
        self._left = Signal(ROW_BITS)  # rows from the first row of this tile to the end; 0 in the last, partial block
        self._previous = Signal(range(lanes + 1))  # valid lanes of the previous block
        self._opening = Signal()  # first tile of the op
        self._first_rows = Signal()  # first tile of rows of the op
        self._slot = Signal()
        op = self._op
        self._is_scores = Signal()
        self._is_linear = Signal()
        self._is_skip = Signal()
        m.d.comb += [
            self._is_scores.eq(op.kind == int(OpKind.SCORES)),
            self._is_linear.eq(op.kind == int(OpKind.LINEAR)),
            self._is_skip.eq(op.kind == int(OpKind.SKIP)),
        ]
        self._count = Signal(range(lanes + 1))  # valid lanes of this tile of rows
        m.d.comb += self._count.eq(Mux(self._left > lanes, lanes, self._left))
        steps = Signal(10)
        full = Mux(self._is_scores & (op.out_tiles < lanes), lanes, op.out_tiles)
        m.d.comb += steps.eq(Mux(self._is_scores & (self._left == 0), self._previous - 1, full))
        self._no_key = Signal()  # a step of the schedule without a key tile
        self._idle_steps = Signal(range(lanes + 1))  # steps of a block that wait for lanes to take their queries
        m.d.comb += [
            self._idle_steps.eq(Mux(self._is_scores & (op.out_tiles < lanes), lanes - op.out_tiles, 0)),
            self._no_key.eq(self._inner < self._idle_steps),
        ]
        self._head = Signal()  # first cycle of a tile or step
        self._tail = Signal()  # its last cycle
        self._inner_end = Signal()
        m.d.comb += [
            self._head.eq(self._chunk == 0),
            self._tail.eq((self._chunk + 1 == op.in_chunks) | self._no_key | self._is_skip),
            self._inner_end.eq(self._inner + 1 == steps),
        ]
        more_plain = self._left > lanes
        single = (self._count <= 1) if lanes > 1 else Const(1)
        partial = (self._left == 0) | single  # no partial block follows
        self._outer_end = Signal()  # this is the last tile of rows or block
        m.d.comb += self._outer_end.eq(Mux(self._is_scores, ~more_plain & partial, ~more_plain) | self._is_skip)
        self._go, self._done = Signal(), Signal()
        m.d.comb += self._done.eq(self._go & self._tail & self._inner_end & self._outer_end)

    def _current_op(self, m: Module) -> None:
        """The next op is taken in the cycle in which the current one ends."""
        m.d.comb += self.i.ready.eq(~self._busy | self._done)
        with m.If(self.i.ready):
            m.d.sync += [self._busy.eq(self.i.valid), self._op.eq(self.i.payload), self._opening.eq(1)]
            m.d.sync += [self._left.eq(self.i.payload.rows), self._previous.eq(0), self._first_rows.eq(1)]

    def _conditions(self, m: Module) -> None:
        """What must hold for a chunk to go out."""
        lanes, op = self._arch.token_lanes, self._op
        self._enters = Signal()  # a query enters (SCORES) or a tile of rows begins
        m.d.comb += self._enters.eq(
            self._head
            & ~self._is_skip
            & Mux(self._is_scores, (self._inner < lanes) & (self._left != 0), self._inner == 0)
        )
        there = Signal(COUNTER_BITS)
        since = Signal(range(lanes + 1), init=lanes)
        self._operand_ok, self._weight_ok, self._drain_ok = Signal(), Signal(), Signal()
        m.d.comb += there.eq(self.loaded - self.entered)
        gate = (op.destination == int(Destination.GATE)) & self._is_linear
        result = (op.destination == int(Destination.RESULT)) & self._is_linear
        room = (~gate | self.gate_space) & (~result | self.result_space)
        m.d.comb += [
            self._operand_ok.eq(~self._enters | (there >= Mux(self._is_scores, 1, lanes))),
            self._drain_ok.eq((~self._tail | self._no_key | self._is_skip | (since >= lanes)) & (~self._head | room)),
            self._go.eq(self._busy & self._operand_ok & self._weight_ok & self._drain_ok),
        ]
        with m.If(self.last):
            m.d.sync += since.eq(1)
        with m.Elif(since < lanes):
            m.d.sync += since.eq(since + 1)

    def _loops(self, m: Module) -> None:
        """chunk, inner, outer."""
        with m.If(self._go):
            m.d.sync += [self._chunk.eq(self._chunk + 1), self._sub.eq(self._sub + 1)]
            with m.If(self._sub == self._arch.subwords - 1):
                m.d.sync += [self._sub.eq(0), self._word.eq(self._word + 1)]
            with m.If(self._tail):
                m.d.sync += [self._chunk.eq(0), self._sub.eq(0), self._word.eq(0), self._inner.eq(self._inner + 1)]
                m.d.sync += self._opening.eq(0)
                with m.If(self._inner_end):
                    m.d.sync += [self._inner.eq(0), self._first_rows.eq(self._done)]
                    with m.If(~self._outer_end):
                        m.d.sync += [self._left.eq(self._left - self._count), self._previous.eq(self._count)]
                    with m.If(~self._is_skip & ((self._left != 0) | ~self._is_scores)):
                        m.d.sync += self._slot.eq(~self._slot)
            with m.If(self._done):
                m.d.sync += self._opening.eq(1)

    def _rows(self, m: Module) -> None:
        """Row slots begun and given back."""
        lanes = self._arch.token_lanes
        with m.If(self._go & self._enters):
            m.d.sync += self.entered.eq(self.entered + Mux(self._is_scores, 1, lanes))
        again = self._go & self._enters & self._is_scores & (self._previous != 0)
        tile_over = self._go & self._gives_back(m) & self._inner_end & ~self._is_scores & ~self._is_skip
        with m.If(again):
            m.d.sync += self.released.eq(self.released + Mux(self._done, lanes + 1, 1))
        with m.Elif(tile_over | (self._done & self._is_scores)):
            m.d.sync += self.released.eq(self.released + lanes)

    def _gives_back(self, m: Module) -> Signal:
        """In the last output tile of a tile of rows: the chunk with which its slot is given back.

        When nothing can hold the rest of the tile up (weights are there after the first tile of rows, a tile that is
        long enough does not wait for the drain), the slot goes back REFILL_CYCLES early: it is refilled just behind.
        """
        op, back = self._op, Signal()
        certain = (op.in_chunks >= self._arch.token_lanes) & (~self._is_linear | ~self._first_rows)
        early = Mux(op.in_chunks > REFILL_CYCLES, self._chunk + REFILL_CYCLES + 1 == op.in_chunks, self._head)
        m.d.comb += back.eq(Mux(certain, early, self._tail))
        return back

    def _rings(self, m: Module) -> None:
        """Weight tiles chunk by chunk, parameters tile by tile; both again for every tile of rows."""
        arch, op = self._arch, self._op
        m.submodules.weights = weights = RingReader(arch.ring_words)
        m.submodules.params = params = RingReader(arch.param_entries)
        uses = self._is_linear | self._is_skip
        m.d.comb += [
            weights.arrived.eq(self.weights_arrived),
            params.arrived.eq(self.params_arrived),
            weights.advance.eq(Mux(self._is_skip, op.in_chunks, 1)),
            params.advance.eq(1),
            weights.step.eq(self._go & uses),
            params.step.eq(self._go & uses & self._tail),
            weights.keep.eq(self._outer_end),
            params.keep.eq(self._outer_end),
            weights.rewind.eq(self._tail & self._inner_end),
            params.rewind.eq(self._inner_end),
            self.weight_address.eq(weights.address),
            self.weight_release.eq(Mux(weights.step & self._outer_end, weights.advance, 0)),
            self.params_release.eq(params.step & self._is_skip),
            self._weight_ok.eq(~uses | (weights.reaches & (~self._head | params.available))),
        ]
        self._param_address = params.address

    def _addresses(self, m: Module) -> None:
        """A and B operands of this cycle."""
        arch, op = self._arch, self._op
        row = Signal(ADDRESS_BITS + 2)  # key row of this step, or value row of this chunk
        key, value = Signal(ADDRESS_BITS + 2), Signal(ADDRESS_BITS + 2)
        m.d.comb += [
            key.eq(row + op.b_offset + self._word),
            value.eq(row + op.b_offset + self._inner),
            self.key_address.eq(key),
            self.value_address.eq(value),
            self.b_source.eq(op.kind),
            self.word.eq(self._word),
            self.sub.eq(self._sub),
        ]
        with m.If(self._go):
            with m.If(self._is_scores):
                with m.If(self._tail & ~self._no_key):
                    m.d.sync += row.eq(Mux(self._inner_end, 0, row + op.b_stride))
            with m.Else():
                m.d.sync += row.eq(Mux(self._tail, 0, row + op.b_stride))
        for lane in range(arch.token_lanes):
            m.d.comb += self.slots[lane].eq(self._slot ^ self._older(lane))
        is_context = op.kind == int(OpKind.CONTEXT)
        m.d.comb += [
            self.valid.eq(self._go & ~self._no_key & ~self._is_skip),
            self.first.eq(self._head),
            self.last.eq(self.valid & self._tail),
            self.fault.valid.eq(
                self.valid & ((self._is_scores & (key >= arch.key_words)) | (is_context & (value >= arch.value_words)))
            ),
            self.fault.code.eq(int(ErrorCode.OUT_OF_BOUNDS)),
            self.fault.pc.eq(op.pc),
        ]

    def _tag(self, m: Module) -> None:
        """What the post-processor is told about the tile that ends in this cycle."""
        op, tag = self._op, self.tag
        copied = ("pc", "destination", "counter", "finish_count", "dst_base", "dst_stride", "mult", "shift", "bias")
        copied += ("mult2", "shift2", "slot", "keys", "experts", "top_k", "renormalise")
        m.d.comb += [getattr(tag, name).eq(getattr(op, name)) for name in copied]
        m.d.comb += [
            self.tag_valid.eq(self.last),
            tag.out_tile.eq(self._inner),
            tag.first_tile.eq(self._opening),
            tag.last_tile.eq(self._inner_end),
            tag.finish.eq(op.finish & self._inner_end & self._outer_end),
            tag.param.eq(self._param_address),
            tag.param_release.eq(self._is_linear & self._outer_end),
        ]
        for lane in range(self._arch.token_lanes):
            self._lane_tag(m, lane)

    def _older(self, lane: int) -> Value:
        """Whether this lane is still at the query of the block before."""
        return self._is_scores & (self._inner < lane) if lane else Const(0)

    def _lane_tag(self, m: Module, lane: int) -> None:
        out = self.tag.lanes[lane]
        info = self.info[self.slots[lane]][lane]
        late: Value = self._idle_steps < lane if lane else Const(0)  # this lane wraps around: it ends in the next block
        first: Value = self._inner == Mux(late, lane, self._idle_steps)
        last_of_lane: Value = Mux(late, self._inner + 1 == lane, self._inner_end)
        m.d.comb += [
            out.valid.eq(Mux(self._older(lane), lane < self._previous, lane < self._count)),
            out.row.eq(info.token),
            out.score.eq(info.score),
            out.key_tile.eq(self._inner - self._idle_steps),
            out.first_key.eq(first),
            out.last_key.eq(last_of_lane),
        ]

    def _report(self, m: Module) -> None:
        """Events for counters and traces."""
        op, waiting = self._op, Signal()
        result = (op.destination == int(Destination.RESULT)) & self._is_linear
        m.d.comb += [
            self.started.eq(self._go & op.first & self._opening & self._head),
            self.started_pc.eq(op.pc),
            self.result_rows.eq(Mux(self._go & self._head & result, self._count, 0)),
            self.step.eq(self._go & self._head & self._is_scores),
            self.stepping.eq(self._busy & self._is_scores & ~(self._opening & self._head)),
            self.key_read.eq(self.step & ~self._no_key),
            waiting.eq(self._busy & ~self._go),
            self.wait_operand.eq(waiting & ~self._operand_ok),
            self.wait_weight.eq(waiting & self._operand_ok & ~self._weight_ok),
            self.wait_drain.eq(waiting & self._operand_ok & self._weight_ok),
            self.wait_idle.eq(~self._busy),
            self.idle.eq(~self._busy & ~self.i.valid),
        ]
