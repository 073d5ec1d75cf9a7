"""Post-processor: one accumulator row a cycle through bias, requantisation, GELU or score, residual, to its buffer."""

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import (
    Param,
    RowFactor,
    buffer_read,
    buffer_write,
    fault,
    lane_tag,
    logit_row,
    progress_pulse,
    result_row,
    score_row,
    table_bus,
    tile_tag,
)
from hwgen.rtl.lib.pipeline import delay, width_for
from hwgen.rtl.lib.trace import channel_signature
from hwgen.rtl.post.finish import FinishLanes
from hwgen.rtl.post.gelu import OUT_BITS as GELU_BITS
from hwgen.rtl.post.gelu import GeluLanes
from hwgen.rtl.post.requant import RequantLanes
from hwgen.rtl.post.row_address import RowAddress
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import ACTIVATION, KEY, PARAM_RING, RESIDUAL, ROW_FACTOR, SCORE, VALUE
from hwgen.spec.choices import READ_LATENCY
from hwgen.spec.destinations import DESTINATIONS, destinations
from hwgen.spec.isa import Counter, Destination, ErrorCode

PARAM_BITS = PARAM_RING.element_bits  # one channel
SCORE_POINT = 15  # expert scores are UQ1.15
COUNTED_ELSEWHERE = tuple(
    name for name, item in DESTINATIONS.items() if item.counted_by in ("softmax", "gate")
)  # progress comes from there
GELU = destinations(factor="gelu")
WRITE_PORTS = {  # member -> buffer
    "residual_write": RESIDUAL,
    "activation": ACTIVATION,
    "key": KEY,
    "value": VALUE,
    "score_write": SCORE,
}


def row_context(arch: ArchConfig) -> data.StructLayout:
    """What travels with a row: the tag of its tile, its own tag, its lane, and whether it is the tile's last lane."""
    tile = {name: shape for name, shape in tile_tag(arch).members.items() if name != "lanes"}
    return data.StructLayout(
        {
            "tile": data.StructLayout(tile),
            "row": lane_tag(),
            "lane": width_for(arch.token_lanes),
            "final": 1,
        }
    )


class PostProcessor(wiring.Component):
    """Finishes accumulator tiles: takes one when it is complete, sends its rows, lane 0 first, down one pipeline.

    Every destination has the same depth, so results leave in the order of the tiles. Per row: parameters (parameter
    ring; SCORE: scalars of the tag; CONTEXT: the query's row factor), requantisation, GELU (HIDDEN) or a pass,
    a second factor (HIDDEN: gelu_mult; EXPERT: score / 2^15; others: one), addition of the residual (RESIDUAL,
    EXPERT) or of the zero point (HIDDEN), and saturation.
    A lane that is not valid writes nothing but takes its cycle.

    The residual is read before it is written: a row sees what another one wrote to its word if it comes
    ``residual_window`` cycles behind it, or later. No two rows that are closer touch the same word: an instruction
    visits each (row, word) once, except EXPERTS, where the hidden rows of an expert's first layer, which its
    second layer waits for, enter this pipeline behind the second layer of the expert before.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    sums, sums_valid: In, a complete tile of the MAC array; tag: In(tile_tag(arch)), in the same cycle. At least
    token_lanes cycles lie between two tiles.
    table: In(table_bus).
    param: Out(read_port(64 * Po)), channel o at bits 64*o; param_release: Out(1), the entry has been used.
    factor: Out(read_port(27)), RowFactor at ``slot * max_tokens + row``.
    residual_read: Out(read_port(16 * Po)). residual_write: Out(write_port(16 * Po)).
    residual_wanted: Out(1), only where the residual has one copy: ``residual_read`` needs it in this cycle.
    activation: Out(write_port(8 * Po)), QUERY, HIDDEN and CONTEXT.
    key, value: Out(banked_write_port), bank ``row % banks``.
    score_write: Out(write_port(10 * Po)); scores: Out(score_row(arch)). Scores past the last key are zero.
    gate: Out(logit_row(arch)). result: Out(result_row(arch)), never refused.
    progress: Out(progress_pulse), a row whose last word is written; RESIDUAL with ``finish_count`` at the end of an
    EXPERTS instruction. Rows of SCORE and GATE are counted by their units.
    fault: Out(fault), OUT_OF_BOUNDS; the row is dropped. trace: Out(channel "post"). busy: Out(1), a tile is in flight.

    Timing: ``latency`` cycles from ``sums_valid`` to the write, stream, progress and trace of lane 0; lane i comes i
    cycles later.

    Equals golden.rounding.requant, golden.gelu.hidden, golden.linear.add_residual and add_scored, by destination.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        lanes = arch.output_lanes
        self._requant = RequantLanes(lanes)
        self._gelu = GeluLanes(lanes)
        self._scale = RequantLanes(lanes, input_bits=GELU_BITS, biased=False, shared=True)
        self._finish = FinishLanes(lanes)
        self._address = RowAddress(arch)
        self._requant_stage = READ_LATENCY + 1  # stages count from the cycle in which the row leaves the drain
        self._gelu_stage = self._requant_stage + self._requant.latency
        self._scale_stage = self._gelu_stage + self._gelu.latency
        self._finish_stage = self._scale_stage + self._scale.latency
        self._write_stage = self._finish_stage + self._finish.latency
        self.latency = 1 + self._write_stage
        self._read_stage = self._finish_stage - READ_LATENCY  # of the residual
        self.residual_window = self._write_stage - self._read_stage + 1
        self._shares = RESIDUAL.copies(arch) < RESIDUAL.readers
        super().__init__(
            {
                "sums": In(data.ArrayLayout(data.ArrayLayout(signed(32), lanes), arch.token_lanes)),
                "sums_valid": In(1),
                "tag": In(tile_tag(arch)),
                "table": In(table_bus()),
                "param": Out(buffer_read(PARAM_RING, arch)),
                "param_release": Out(1),
                "factor": Out(buffer_read(ROW_FACTOR, arch)),
                "residual_read": Out(buffer_read(RESIDUAL, arch)),
                **({"residual_wanted": Out(1)} if self._shares else {}),
                **{name: Out(buffer_write(buffer, arch)) for name, buffer in WRITE_PORTS.items()},
                "scores": Out(score_row(arch)),
                "gate": Out(logit_row(arch)),
                "result": Out(result_row(arch)),
                "progress": Out(progress_pulse()),
                "fault": Out(fault()),
                "trace": Out(channel_signature("post", arch)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Drain, pipeline, sinks."""
        m = Module()
        m.submodules.requant, m.submodules.gelu = self._requant, self._gelu
        m.submodules.scale, m.submodules.finish = self._scale, self._finish
        m.submodules.address = self._address
        sums = self._drain(m)
        self._follow(m)
        self._requantise(m, sums)
        self._scale_row(m)
        self._finish_row(m)
        self._locate(m)
        self._write_buffers(m)
        self._write_streams(m)
        self._count(m)
        self._report(m)
        return m

    def _drain(self, m: Module) -> data.View:
        """Take a tile when it is complete and shift one row a cycle out of lane 0."""
        lanes = self._arch.token_lanes
        shape = data.ArrayLayout(signed(32), self._arch.output_lanes)
        rows = [Signal(shape, name=f"drain_{lane}", reset_less=True) for lane in range(lanes)]
        tags = [Signal(lane_tag(), name=f"tag_{lane}", reset_less=True) for lane in range(lanes)]
        context = Signal(row_context(self._arch), name="context_0", reset_less=True)
        left = Signal(range(lanes + 1))
        lane = Signal(width_for(lanes), reset_less=True)
        m.d.sync += [left.eq(Mux(left == 0, 0, left - 1)), lane.eq(lane + 1)]
        for n in range(lanes - 1):
            m.d.sync += [rows[n].eq(rows[n + 1]), tags[n].eq(tags[n + 1])]
        tile = Signal(row_context(self._arch).members["tile"], reset_less=True)
        with m.If(self.sums_valid):
            m.d.sync += [left.eq(lanes), lane.eq(0)]
            m.d.sync += [tile[name].eq(self.tag[name]) for name in tile.shape().members]
            m.d.sync += [rows[n].eq(self.sums[n]) for n in range(lanes)]
            m.d.sync += [tags[n].eq(self.tag.lanes[n]) for n in range(lanes)]
        m.d.comb += [context.tile.eq(tile), context.row.eq(tags[0]), context.lane.eq(lane), context.final.eq(left == 1)]
        self._contexts, self._active = [context], [left != 0]
        return rows[0]

    def _follow(self, m: Module) -> None:
        """The row's context in every stage, and whether there is a row."""
        for stage in range(self._write_stage):
            context = Signal(row_context(self._arch), name=f"context_{stage + 1}", reset_less=True)
            active = Signal(name=f"active_{stage + 1}")
            m.d.sync += [context.eq(self._contexts[stage]), active.eq(self._active[stage])]
            self._contexts.append(context)
            self._active.append(active)

    def _goes_to(self, stage: int, *destinations: Destination) -> Value:
        """The row in ``stage`` has one of these destinations."""
        return self._contexts[stage].tile.destination.matches(*map(int, destinations))

    def _requantise(self, m: Module, sums: data.View) -> None:
        """Fetch bias, multiplier and shift, and requantise."""
        first, fetched, requant = self._contexts[0], self._contexts[READ_LATENCY], self._requant
        row_start = Mux(first.tile.slot, self._arch.max_tokens, 0)
        m.d.comb += [
            self.param.address.eq(first.tile.param),
            self.param_release.eq(self._active[0] & first.final & first.tile.param_release),
            self.factor.address.eq(row_start + first.row.row),
        ]
        x = data.View(sums.shape(), delay(m, sums.as_value(), self._requant_stage, "sums"))
        factor = data.View(RowFactor, self.factor.data)
        score, context = (
            self._goes_to(READ_LATENCY, *destinations(parameters="scalars")),
            self._goes_to(READ_LATENCY, *destinations(parameters="row_factor")),
        )
        for o in range(self._arch.output_lanes):
            param = data.View(Param, self.param.data[PARAM_BITS * o : PARAM_BITS * (o + 1)])
            chosen = Signal(Param, name=f"param_{o}", reset_less=True)
            m.d.sync += chosen.eq(param)
            with m.If(score):
                m.d.sync += [
                    chosen.bias.eq(fetched.tile.bias),
                    chosen.mult.eq(fetched.tile.mult),
                    chosen.shift.eq(fetched.tile.shift),
                ]
            with m.Elif(context):
                m.d.sync += [chosen.bias.eq(0), chosen.mult.eq(factor.mult), chosen.shift.eq(factor.shift)]
            m.d.comb += [
                requant.x[o].eq(x[o]),
                requant.bias[o].eq(chosen.bias),
                requant.mult[o].eq(chosen.mult),
                requant.shift[o].eq(chosen.shift),
            ]

    def _scale_row(self, m: Module) -> None:
        """GELU and the second factor; other rows pass both unchanged."""
        mult, shift = Signal(16, reset_less=True), Signal(6, reset_less=True)
        before = self._contexts[self._scale_stage - 1]
        m.d.sync += [mult.eq(1), shift.eq(0)]
        with m.If(self._goes_to(self._scale_stage - 1, *GELU)):
            m.d.sync += [mult.eq(before.tile.mult2), shift.eq(before.tile.shift2)]
        with m.Elif(self._goes_to(self._scale_stage - 1, *destinations(factor="score"))):
            m.d.sync += [mult.eq(before.row.score), shift.eq(SCORE_POINT)]
        wiring.connect(m, wiring.flipped(self.table), self._gelu.table)
        m.d.comb += [
            self._gelu.z.eq(self._requant.y),
            self._gelu.enable.eq(self._goes_to(self._gelu_stage, *GELU)),
            self._scale.x.eq(self._gelu.y),
            self._scale.mult.eq(mult),
            self._scale.shift.eq(shift),
        ]

    def _finish_row(self, m: Module) -> None:
        """Residual or zero point, saturation, and zeros in place of scores whose key does not exist."""
        lanes, before = self._arch.output_lanes, self._contexts[self._finish_stage - 1]
        left = Signal(signed(16))  # keys from the first one of this tile on
        existing = Signal(range(lanes + 1), reset_less=True)
        self._keep = Signal(lanes, name="keep", reset_less=True)
        zero = Signal(signed(8), reset_less=True)  # of a row behind GELU; others have none, whatever the tag says
        m.d.sync += zero.eq(Mux(self._goes_to(self._finish_stage - 1, *GELU), before.tile.zero, 0))
        m.d.comb += left.eq(before.tile.keys - before.row.key_tile * lanes)
        m.d.sync += existing.eq(Mux(left < 0, 0, Mux(left > lanes, lanes, left)))
        with m.If(~self._goes_to(self._finish_stage - 1, Destination.SCORE)):
            m.d.sync += existing.eq(lanes)
        for o in range(lanes):
            m.d.sync += self._keep[o].eq(existing > o)
        m.d.comb += [
            self._finish.x.eq(self._scale.y),
            self._finish.residual.eq(self.residual_read.data),
            self._finish.zero.eq(zero),
            self._finish.destination.eq(self._contexts[self._finish_stage].tile.destination),
            self._finish.keep.eq(self._keep),
        ]
        self._data = self._finish.y

    def _locate(self, m: Module) -> None:
        """Address of the row, in time for the residual read and for the write; the write enables, a cycle ahead."""
        first, unit = self._contexts[0], self._address
        m.d.comb += [
            unit.destination.eq(first.tile.destination),
            unit.row.eq(first.row.row),
            unit.word.eq(first.tile.out_tile),
            unit.key_tile.eq(first.row.key_tile),
            unit.base.eq(first.tile.dst_base),
            unit.stride.eq(first.tile.dst_stride),
        ]
        read_address = delay(m, unit.address, self._read_stage - unit.latency, "read_address")
        m.d.comb += self.residual_read.address.eq(read_address)
        if self._shares:
            before = self._read_stage - 1
            adds = self._active[before] & self._goes_to(before, *destinations(adds=True))
            m.d.sync += self.residual_wanted.eq(adds)
        self._write_address = delay(m, read_address, self._write_stage - self._read_stage, "write_address")
        in_range = delay(m, unit.in_range, self._write_stage - 1 - unit.latency, "in_range")
        self._row_exists = self._active[-2] & self._contexts[-2].row.valid
        self._row_written = self._row_exists & in_range

    def _strobe(self, m: Module, name: str, *destinations: Destination) -> Signal:
        """Registered: a row for one of these destinations is in the write stage."""
        strobe = Signal(name=f"to_{name}")
        m.d.sync += strobe.eq(self._row_written & self._goes_to(self._write_stage - 1, *destinations))
        return strobe

    def _low_bits(self, bits: int) -> list[Value]:
        return [self._data[o].as_unsigned()[:bits] for o in range(self._arch.output_lanes)]

    def _write_buffers(self, m: Module) -> None:
        """Buffers with addresses."""
        row = self._contexts[-1].row.row
        for member, buffer in WRITE_PORTS.items():
            port, bits = getattr(self, member), buffer.element_bits
            m.d.comb += [
                port.enable.eq(self._strobe(m, buffer.name, *destinations(buffer=buffer))),
                port.address.eq(self._write_address),
            ]
            m.d.comb += [port.data[bits * o : bits * (o + 1)].eq(value) for o, value in enumerate(self._low_bits(bits))]
        m.d.comb += [self.key.bank.eq(row), self.value.bank.eq(row)]

    def _write_streams(self, m: Module) -> None:
        """Softmax statistics, gate and results."""
        tile, row = self._contexts[-1].tile, self._contexts[-1].row
        scores, gate = self.scores, self.gate
        first_row = delay(m, self._contexts[-2].row.row == 0, 1, "first_row")
        m.d.comb += [
            scores.valid.eq(self.score_write.enable),
            gate.valid.eq(self._strobe(m, "gate", Destination.GATE)),
            self.result.valid.eq(self._strobe(m, "result", Destination.RESULT)),
            self.result.data.eq(self._data.as_value()),
            scores.mask.eq(delay(m, self._keep, 1, "mask")),
            scores.observe.eq(Mux(first_row, tile.observe, 0)),
            gate.tile.eq(tile.out_tile),
        ]
        for stream in (scores, gate):
            m.d.comb += [stream.row.eq(row.row), stream.lane.eq(self._contexts[-1].lane)]
        copies = (
            (scores, tile, ("slot", "mult2", "shift2", "keys")),
            (scores, row, ("first_key", "last_key", "key_tile")),
            (gate, tile, ("pc", "first_tile", "last_tile", "experts", "top_k", "renormalise")),
        )
        for stream, source, names in copies:
            m.d.comb += [getattr(stream, name).eq(source[name]) for name in names]
        for o in range(self._arch.output_lanes):
            m.d.comb += [scores.scores[o].eq(self._data[o]), gate.logits[o].eq(self._data[o])]

    def _count(self, m: Module) -> None:
        """Progress: a complete row, or all rows of an EXPERTS instruction."""
        before = self._contexts[-2]
        tile = before.tile
        counted = ~self._goes_to(self._write_stage - 1, *COUNTED_ELSEWHERE) & (tile.counter != int(Counter.NONE))
        row_done = self._row_written & tile.last_tile & counted
        finished = self._active[-2] & before.final & tile.finish
        valid = Signal(name="progress_valid")
        counter = Signal(4, name="progress_counter", reset_less=True)
        count = Signal(unsigned(len(self.progress.count)), name="progress_count", reset_less=True)
        m.d.sync += [
            valid.eq(row_done | finished),
            counter.eq(Mux(finished, int(Counter.RESIDUAL), tile.counter)),
            count.eq(Mux(finished, tile.finish_count, 1)),
        ]
        m.d.comb += [self.progress.valid.eq(valid), self.progress.counter.eq(counter), self.progress.count.eq(count)]

    def _report(self, m: Module) -> None:
        """Fault, trace and busy."""
        tile, row = self._contexts[-1].tile, self._contexts[-1].row
        missed, traced = Signal(), Signal()
        m.d.sync += [missed.eq(self._row_exists & ~self._row_written), traced.eq(self._row_written)]
        m.d.comb += [
            self.fault.valid.eq(missed),
            self.fault.code.eq(int(ErrorCode.OUT_OF_BOUNDS)),
            self.fault.pc.eq(tile.pc),
            self.trace.valid.eq(traced),
            self.trace.pc.eq(tile.pc),
            self.trace.destination.eq(tile.destination),
            self.trace.row.eq(row.row),
            self.trace.word.eq(Mux(tile.destination == int(Destination.SCORE), row.key_tile, tile.out_tile)),
            self.trace.data.eq(self._data.as_value()),
        ]
        in_flight = Signal(range(self.latency + self._arch.token_lanes))
        with m.If(self.sums_valid):
            m.d.sync += in_flight.eq(self.latency + self._arch.token_lanes - 1)
        with m.Elif(in_flight != 0):
            m.d.sync += in_flight.eq(in_flight - 1)
        m.d.comb += self.busy.eq(self.sums_valid | (in_flight != 0))
