"""Unified compute unit up to the accumulators: ops, operands, array, and the tags that travel beside them."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import (
    ATTENTION_READS_BITS,
    COUNTER_BITS,
    PC_BITS,
    PROGRESS_COUNTERS,
    WORD_ADDRESS_BITS,
    buffer_read,
    fault,
    issued,
    queue_read,
    table_bus,
    tile_tag,
)
from hwgen.rtl.lib.stream_buffer import StreamBuffer
from hwgen.rtl.matmul.b_operand import BOperand
from hwgen.rtl.matmul.mac_array import MacArray
from hwgen.rtl.matmul.op_expander import OpExpander
from hwgen.rtl.matmul.operand_loader import OperandLoader
from hwgen.rtl.matmul.operand_ram import OperandRam
from hwgen.rtl.matmul.ops import op_layout
from hwgen.rtl.matmul.tile_issuer import TileIssuer
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import ACTIVATION, KEY, NORM, ROW_FACTOR, SCORE, VALUE, WEIGHT_RING
from hwgen.spec.choices import OP_QUEUE

EVENTS = ("mac_cycles", "wait_operand", "wait_weight", "wait_drain", "wait_dependence", "wait_idle", "attention_steps")


class ComputeUnit(wiring.Component):
    """Runs COMPUTE instructions: every tile of sums comes out with its tag.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In stream of ``issued()``. counters: In, progress counters. table: In(table_bus).
    norm, activation, score, factor: Out(read_port), buffers. queue: Out(queue_read).
    weights: Out(read_port), weight ring; weights_arrived In, weights_release Out; params_arrived In, params_release Out
    (parameters of experts without tokens; the others are released by the post-processor).
    key_address, value_address: Out; keys, values: In, READ_LATENCY later.
    gate_space, result_space: In(1). result_rows: Out, rows promised to the result FIFO.
    sums, sums_valid, tag: Out, to the post-processor.
    started, started_pc: Out. fault: Out, list of two. idle: Out(1).
    events named in EVENTS: Out(1) pulses; attention_query_reads, attention_key_reads: Out(8), with attention_steps.

    Timing: a tile takes max(chunks, token_lanes) cycles; ``latency`` cycles from its last chunk to ``sums_valid``.
    """

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(issued())),
                "counters": In(data.ArrayLayout(COUNTER_BITS, PROGRESS_COUNTERS)),
                "table": In(table_bus()),
                "norm": Out(buffer_read(NORM, arch)),
                "activation": Out(buffer_read(ACTIVATION, arch)),
                "score": Out(buffer_read(SCORE, arch)),
                "factor": Out(buffer_read(ROW_FACTOR, arch)),
                "queue": Out(queue_read()),
                "weights": Out(buffer_read(WEIGHT_RING, arch)),
                "weights_arrived": In(COUNTER_BITS),
                "weights_release": Out(16),
                "params_arrived": In(COUNTER_BITS),
                "params_release": Out(16),
                "key_address": Out(WORD_ADDRESS_BITS),
                "value_address": Out(WORD_ADDRESS_BITS),
                "keys": In(data.ArrayLayout(KEY.word_bits(arch), KEY.bank_count(arch))),
                "values": In(data.ArrayLayout(VALUE.word_bits(arch), VALUE.bank_count(arch))),
                "gate_space": In(1),
                "result_space": In(1),
                "result_rows": Out(5),
                "sums": Out(data.ArrayLayout(data.ArrayLayout(signed(32), arch.output_lanes), arch.token_lanes)),
                "sums_valid": Out(1),
                "tag": Out(tile_tag(arch)),
                "started": Out(1),
                "started_pc": Out(PC_BITS),
                "fault": Out(fault()).array(2),
                "idle": Out(1),
                **{name: Out(1) for name in EVENTS},
                "attention_query_reads": Out(ATTENTION_READS_BITS),
                "attention_key_reads": Out(ATTENTION_READS_BITS),
            }
        )
        self._arch = arch
        self.latency = OperandRam.latency + MacArray.latency

    def elaborate(self, platform: object) -> Module:
        """Expander -> loader and issuer -> operands -> array."""
        m = Module()
        m.submodules.expander = self._expander = OpExpander(self._arch)
        m.submodules.loader = self._loader = OperandLoader(self._arch)
        m.submodules.issuer = self._issuer = TileIssuer(self._arch)
        m.submodules.operand = self._operand = OperandRam(self._arch)
        m.submodules.b_operand = self._b = BOperand(self._arch)
        m.submodules.array = self._array = MacArray(self._arch)
        self._step, self._stepping = Signal(), Signal()  # of the issuer, a cycle later
        self._ops(m)
        self._load(m)
        self._issue(m)
        self._multiply(m)
        self._tags(m)
        self._report(m)
        return m

    def _ops(self, m: Module) -> None:
        """Every op goes to the loader and to the issuer."""
        expander, queue = self._expander, self.queue
        m.submodules.instructions = instructions = StreamBuffer(issued())
        m.submodules.ops = expanded = StreamBuffer(op_layout())
        wiring.connect(m, wiring.flipped(self.i), instructions.i)
        wiring.connect(m, instructions.o, expander.i)
        wiring.connect(m, expander.o, expanded.i)
        m.d.comb += [
            expander.counters.eq(self.counters),
            queue.length_expert.eq(expander.length_expert),
            expander.length.eq(queue.length),
            expander.more.eq(queue.more),
        ]
        fifos = []
        for name, target in (("loader", self._loader.i), ("issuer", self._issuer.i)):
            m.submodules[f"{name}_ops"] = ops = fifo.SyncFIFOBuffered(width=op_layout().size, depth=OP_QUEUE)
            m.d.comb += [
                ops.w_data.eq(expanded.o.payload),
                target.payload.eq(ops.r_data),
                target.valid.eq(ops.r_rdy),
                ops.r_en.eq(target.ready),
            ]
            fifos.append(ops)
        ready = fifos[0].w_rdy & fifos[1].w_rdy
        m.d.comb += expanded.o.ready.eq(ready)
        m.d.comb += [ops.w_en.eq(expanded.o.valid & ready) for ops in fifos]
        self._ops_waiting = self.i.valid | expanded.o.valid | Cat(ops.level != 0 for ops in fifos).any()

    def _load(self, m: Module) -> None:
        loader, issuer, operand, queue = self._loader, self._issuer, self._operand, self.queue
        for name in ("norm", "activation", "score", "factor"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(loader, name))
        wiring.connect(m, wiring.flipped(self.table), loader.table)
        m.d.comb += [
            loader.counters.eq(self.counters),
            loader.entered.eq(issuer.entered),
            loader.released.eq(issuer.released),
            loader.stepping.eq(self._stepping),
            loader.step.eq(self._step),
            queue.expert.eq(loader.queue_expert),
            queue.position.eq(loader.queue_position),
            loader.queue_token.eq(queue.token),
            loader.queue_score.eq(queue.score),
            issuer.load.eq(loader.load),
            issuer.info.eq(loader.info),
        ]
        for name in ("w_enable", "w_lane", "w_slot", "w_word", "w_data"):
            m.d.comb += getattr(operand, name).eq(getattr(loader, name))

    def _issue(self, m: Module) -> None:
        issuer = self._issuer
        m.d.comb += [
            issuer.weights_arrived.eq(self.weights_arrived),
            issuer.params_arrived.eq(self.params_arrived),
            issuer.gate_space.eq(self.gate_space),
            issuer.result_space.eq(self.result_space),
            self.result_rows.eq(issuer.result_rows),
            self.weights.address.eq(issuer.weight_address),
            self.weights_release.eq(issuer.weight_release),
            self.key_address.eq(issuer.key_address),
            self.value_address.eq(issuer.value_address),
        ]

        self._release_params(m)

    def _release_params(self, m: Module) -> None:
        """Parameters of a skipped expert are freed behind those that tiles in flight have yet to read."""
        late = self._issuer.params_release
        for stage in range(self.latency + self._arch.token_lanes + 2):
            following = Signal(name=f"params_release_{stage}")
            m.d.sync += following.eq(late)
            late = following
        m.d.comb += self.params_release.eq(late)

    def _multiply(self, m: Module) -> None:
        """Operands and strobes reach the array together."""
        issuer, operand, b, array = self._issuer, self._operand, self._b, self._array
        strobes = Cat(issuer.valid, issuer.first, issuer.last)
        for stage in range(OperandRam.latency):
            following = Signal(3, name=f"strobes_{stage}")
            m.d.sync += following.eq(strobes)
            strobes = following
        m.d.comb += [
            operand.r_word.eq(issuer.word),
            operand.r_sub.eq(issuer.sub),
            operand.r_slots.eq(issuer.slots),
            b.source.eq(issuer.b_source),
            b.int4.eq(issuer.b_int4),
            b.high.eq(issuer.b_high),
            b.sub.eq(issuer.sub),
            b.weights.eq(self.weights.data),
            b.keys.eq(self.keys),
            b.values.eq(self.values),
            array.a.eq(operand.a),
            array.b.eq(b.b),
            Cat(array.valid, array.first, array.last).eq(strobes),
            self.sums.eq(array.sums),
            self.sums_valid.eq(array.sums_valid),
        ]

    def _tags(self, m: Module) -> None:
        """Tags wait in order for their sums, which come later; as many as the array holds tiles."""
        depth = 1 << (self.latency + 2).bit_length()
        m.submodules.tags = tags = fifo.SyncFIFOBuffered(width=tile_tag(self._arch).size, depth=depth)
        tag, valid = Signal(tile_tag(self._arch)), Signal()
        m.d.sync += [tag.eq(self._issuer.tag), valid.eq(self._issuer.tag_valid)]
        m.d.comb += [
            tags.w_data.eq(tag),
            tags.w_en.eq(valid),
            self.tag.eq(tags.r_data),
            tags.r_en.eq(self.sums_valid),
        ]
        self._tags_waiting = valid | (tags.level != 0)

    def _report(self, m: Module) -> None:
        """Events, a cycle late; faults and idleness."""
        loader, issuer = self._loader, self._issuer
        key_read, query_reads, key_reads = Signal(), Signal(ATTENTION_READS_BITS), Signal(ATTENTION_READS_BITS)
        operand, dependent = Signal(), Signal()
        m.d.sync += [
            self._step.eq(issuer.step),
            self._stepping.eq(issuer.stepping),
            key_read.eq(issuer.key_read),
            operand.eq(issuer.wait_operand),
            dependent.eq(loader.dependent),
            self.mac_cycles.eq(issuer.valid),
            self.wait_weight.eq(issuer.wait_weight),
            self.wait_drain.eq(issuer.wait_drain),
            self.wait_idle.eq(issuer.wait_idle),
        ]
        for total, pulse in ((query_reads, loader.query_read), (key_reads, key_read)):
            m.d.sync += total.eq(Mux(self._step, pulse, total + (pulse & self._stepping)))
        m.d.comb += [
            self.wait_operand.eq(operand & ~dependent),
            self.wait_dependence.eq(operand & dependent),
            self.attention_steps.eq(self._step),
            self.attention_query_reads.eq(query_reads),
            self.attention_key_reads.eq(key_reads),
            self.started.eq(issuer.started),
            self.started_pc.eq(issuer.started_pc),
            self.idle.eq(self._expander.idle & loader.idle & issuer.idle & ~self._ops_waiting & ~self._tags_waiting),
        ]
        for outer, inner in zip(self.fault, (loader.fault, issuer.fault), strict=True):
            wiring.connect(m, wiring.flipped(outer), inner)
