"""Op expander: turns COMPUTE instructions into ops; an EXPERTS instruction becomes two ops for every expert."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.decode import fields, opcode_among, reached
from hwgen.rtl.lib.interfaces import COUNTER_BITS, PROGRESS_COUNTERS, ROW_BITS, issued
from hwgen.rtl.matmul.ops import OpKind, RowSource, op_layout
from hwgen.spec.arch import ArchConfig
from hwgen.spec.destinations import DESTINATIONS, destinations
from hwgen.spec.isa import EXPERT_HIDDEN, Counter, Destination, Opcode, Unit

_ROW_COUNTERS = {name: DESTINATIONS[name].counter for name in destinations(opcode=Opcode.LINEAR, counted_by="post")}


class OpExpander(wiring.Component):
    """Decodes COMPUTE instructions into ops, in order.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In stream of ``issued()``, COMPUTE instructions.
    o: Out stream of ops.
    counters: In, progress counters.
    length_expert / length: Out / In, index of an expert and the length of its token queue in the same cycle; used in
    the next one.
    more: In(1), an expert after ``length_expert`` has a non-empty queue (meta-queue).
    idle: Out(1).

    Timing: one op a cycle, in EXPERTS two in three cycles; EXPERTS waits for its ``wait_b`` (the gate) before it reads
    the queues.
    """

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(issued())),
                "o": Out(stream.Signature(op_layout())),
                "counters": In(data.ArrayLayout(COUNTER_BITS, PROGRESS_COUNTERS)),
                "length_expert": Out(6),
                "length": In(ROW_BITS),
                "more": In(1),
                "idle": Out(1),
            }
        )
        self._arch = arch

    def elaborate(self, platform: object) -> Module:
        """Dispatch on the opcode."""
        m = Module()
        word = self.i.payload.word
        self._lookup(m)
        m.d.comb += [self.idle.eq(~self.i.valid), self.o.payload.pc.eq(self.i.payload.pc)]
        with m.If(self.i.valid):
            with m.If(opcode_among(word, Opcode.LINEAR, Unit.COMPUTE)):
                self._single(m, self._linear(word))
            with m.If(opcode_among(word, Opcode.SCORES, Unit.COMPUTE)):
                self._single(m, self._scores(word))
            with m.If(opcode_among(word, Opcode.CONTEXT, Unit.COMPUTE)):
                self._single(m, self._context(word))
            with m.If(opcode_among(word, Opcode.EXPERTS, Unit.COMPUTE)):
                self._experts(m, fields(Opcode.EXPERTS, word))
        return m

    def _lookup(self, m: Module) -> None:
        """Length of the queue of the current expert, a cycle after it was asked for, whatever the instruction is."""
        self._expert, self._length, self._more = Signal(6), Signal(ROW_BITS), Signal()
        m.d.comb += self.length_expert.eq(self._expert)
        m.d.sync += [self._length.eq(self.length), self._more.eq(self.more)]

    def _assign(self, m: Module, values: dict[str, Value | int]) -> None:
        m.d.comb += [getattr(self.o.payload, name).eq(value) for name, value in values.items()]

    def _single(self, m: Module, values: dict[str, Value | int]) -> None:
        """An instruction that is one op."""
        self._assign(m, {"first": 1, **values})
        m.d.comb += [self.o.valid.eq(1), self.i.ready.eq(self.o.ready)]

    def _waits(self, f: dict[str, Value]) -> dict[str, Value | int]:
        return {name: f[name] for name in ("wait_a", "wait_a_base", "wait_b", "wait_b_base", "rows")}

    def _linear(self, word: Value) -> dict[str, Value | int]:
        f = fields(Opcode.LINEAR, word)
        counter: Value | int = 0
        for destination, number in _ROW_COUNTERS.items():
            counter = Mux(f["destination"] == int(destination), int(number), counter)
        copied = ("in_chunks", "out_tiles", "src_base", "src_stride", "destination", "dst_base", "dst_stride")
        gate = ("experts", "top_k", "renormalise")
        return {
            **self._waits(f),
            **{name: f[name] for name in (*copied, *gate)},
            "kind": int(OpKind.LINEAR),
            "int4": f["int4"],
            "source": f["source"],
            "counter": counter,
            "mult2": f["gelu_mult"],
            "shift2": f["gelu_shift"],
            "zero": f["zero"],
        }

    def _scores(self, word: Value) -> dict[str, Value | int]:
        f = fields(Opcode.SCORES, word)
        copied = ("keys", "in_chunks", "src_base", "src_stride", "slot", "mult", "shift", "bias")
        lanes_log2 = self._arch.output_lanes.bit_length() - 1
        return {
            **self._waits(f),
            **{name: f[name] for name in copied},
            "kind": int(OpKind.SCORES),
            "source": int(RowSource.ACTIVATION),
            "out_tiles": (f["keys"] + self._arch.output_lanes - 1) >> lanes_log2,
            "b_offset": f["key_offset"],
            "b_stride": f["key_stride"],
            "destination": int(Destination.SCORE),
            "dst_base": f["score_base"],
            "dst_stride": (f["keys"] + self._arch.output_lanes - 1) >> lanes_log2,
            "mult2": f["context_mult"],
            "shift2": f["context_shift"],
            "observe": f["observe"] if self._arch.list_entries else 0,
        }

    def _context(self, word: Value) -> dict[str, Value | int]:
        f = fields(Opcode.CONTEXT, word)
        out_log2 = self._arch.output_lanes.bit_length() - 1
        in_log2 = self._arch.input_lanes.bit_length() - 1
        return {
            **self._waits(f),
            **{name: f[name] for name in ("keys", "out_tiles", "slot", "dst_base", "dst_stride")},
            "kind": int(OpKind.CONTEXT),
            "in_chunks": (f["keys"] + self._arch.input_lanes - 1) >> in_log2,
            "src_base": f["score_base"],
            "src_stride": (f["keys"] + self._arch.output_lanes - 1) >> out_log2,
            "b_offset": f["value_offset"],
            "b_stride": f["value_stride"],
            "destination": int(Destination.CONTEXT),
            "counter": int(Counter.CONTEXT),
        }

    def _experts(self, m: Module, f: dict[str, Value]) -> None:
        """For every expert: first layer into hidden rows, second layer into the residual; or two skips."""
        expert, length, more = self._expert, self._length, self._more
        second, passed = Signal(), Signal()
        known = Signal()  # length, more and last are those of the expert
        last = Signal()
        hidden_base = Signal(COUNTER_BITS)
        empty = length == 0
        m.d.sync += [known.eq(passed), last.eq(expert + 1 == f["experts"])]
        self._assign(
            m,
            {
                "first": Cat(expert, second) == 0,
                "expert": expert,
                "kind": Mux(empty, int(OpKind.SKIP), int(OpKind.LINEAR)),
                "rows": length,
                "in_chunks": Mux(second, f["hidden_chunks"], f["in_chunks"]),
                "out_tiles": Mux(second, f["out_tiles"], f["hidden_tiles"]),
                "int4": Mux(second, f["int4_second"], f["int4_first"]),
                "source": Mux(second, int(RowSource.QUEUE_ACTIVATION), int(RowSource.QUEUE_NORM)),
                "src_base": Mux(second, f["hidden_base"], f["src_base"]),
                "src_stride": Mux(second, f["hidden_stride"], f["src_stride"]),
                "wait_a": Mux(second, EXPERT_HIDDEN, 0),
                "wait_a_base": hidden_base,
                "destination": Mux(second, int(Destination.EXPERT), int(Destination.HIDDEN)),
                "counter": Mux(second, 0, EXPERT_HIDDEN),
                "finish": second & ~more,
                "finish_count": f["rows"],
                "dst_base": Mux(second, f["dst_base"], f["hidden_base"]),
                "dst_stride": Mux(second, f["dst_stride"], f["hidden_stride"]),
                "mult2": f["gelu_mult"],
                "shift2": f["gelu_shift"],
                "zero": f["zero"],
            },
        )
        with m.If(~passed):
            m.d.sync += passed.eq(reached(self.counters, f["wait_b"], f["wait_b_base"], 0))
        with m.Elif(known):
            m.d.comb += self.o.valid.eq(1)
            with m.If(self.o.ready):
                m.d.sync += second.eq(~second)
                with m.If(second):
                    m.d.sync += [expert.eq(expert + 1), hidden_base.eq(hidden_base + length), known.eq(0)]
                    with m.If(last):
                        m.d.comb += self.i.ready.eq(1)
                        m.d.sync += [expert.eq(0), passed.eq(0)]
