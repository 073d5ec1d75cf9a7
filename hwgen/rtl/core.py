"""Core: everything that runs instructions. It sits behind one reset, which every start of the machine pulses."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.attention.softmax import SoftmaxStatistics
from hwgen.rtl.axi.bus import axi4_read, axi4_write
from hwgen.rtl.control.scoreboard import Scoreboard
from hwgen.rtl.experts.expert_queues import ExpertQueues
from hwgen.rtl.experts.gate import GateUnit
from hwgen.rtl.io.io_engine import IoEngine
from hwgen.rtl.layernorm.layernorm import LayerNorm
from hwgen.rtl.lib.decode import opcode_among
from hwgen.rtl.lib.interfaces import ATTENTION_READS_BITS, fault, issued
from hwgen.rtl.lib.trace import Trace
from hwgen.rtl.load.weight_loader import RING_NAMES, WeightLoader
from hwgen.rtl.matmul.compute_unit import EVENTS, ComputeUnit
from hwgen.rtl.memory.activation_buffers import BankedBuffer, RowBuffer
from hwgen.rtl.memory.ring import Ring
from hwgen.rtl.post.post_processor import PostProcessor
from hwgen.rtl.select.attention_observer import AttentionObserver
from hwgen.rtl.select.token_unit import TokenUnit
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import (
    ACTIVATION,
    KEY,
    LIST,
    NORM,
    RESIDUAL,
    RINGS,
    ROW_FACTOR,
    SCORE,
    VALUE,
    MemoryInfo,
)
from hwgen.spec.choices import RESULT_ROWS
from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.trace import SHARED

UNITS = ("load", "io", "compute", "norm")
GATHER_BITS = 64  # patches are written in groups of eight pixels


class Core(wiring.Component):
    """Units, buffers, rings and scoreboard, wired.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    load, io, compute, norm: In streams of ``issued()``. model, image, result: In(64), pointers.
    result_bytes: In(32), bound of a STORE. halt: In(1), stop AXI.
    faults: Out, list of ``fault()``. idles: Out, one bit per unit. busy: Out, one bit per AXI engine.
    weight_bus[p]: Out(axi4_read). read_bus: Out(axi4_read), write_bus: Out(axi4_write), of the IO engine.
    read_beats: Out, one pulse per port. events (names in ``events``): Out, pulses for the performance counters.

    Timing: that of the units; wires only.
    """

    idle_count = 6
    engine_count = 2
    events = (*EVENTS, "write_beats", "attention_query_reads", "attention_key_reads")

    @staticmethod
    def fault_count(arch: ArchConfig) -> int:
        """Units that find faults."""
        return 7 if arch.list_entries else 6

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        self.memories: dict[str, wiring.Component] = {}  # by their names in hwgen/spec/buffers.py, once elaborated
        super().__init__(
            {
                **{unit: In(stream.Signature(issued())) for unit in UNITS},
                **{pointer: In(64) for pointer in ("model", "image", "result")},
                "result_bytes": In(32),
                "halt": In(1),
                "faults": Out(fault()).array(self.fault_count(arch)),
                "idles": Out(self.idle_count),
                "busy": Out(self.engine_count),
                "weight_bus": Out(axi4_read()).array(arch.weight_ports),
                "read_bus": Out(axi4_read()),
                "write_bus": Out(axi4_write()),
                "read_beats": Out(arch.weight_ports + 1),
                **{
                    name: Out(ATTENTION_READS_BITS if name.startswith("attention_") else 1)
                    for name in self.events[len(EVENTS) :]
                },
                **{name: Out(1) for name in EVENTS},
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Units, then the wires between them, room by room."""
        m = Module()
        self._units(m)
        self._memories(m)
        self._instructions(m)
        self._tables(m)
        self._operands(m)
        self._results(m)
        self._normalise(m)
        self._rings(m)
        self._attention(m)
        self._experts(m)
        self._result_fifo(m)
        self._progress(m)
        self._memory_buses(m)
        self._report(m)
        self._trace(m)
        return m

    def _units(self, m: Module) -> None:
        arch = self._arch
        m.submodules.weight_loader = self._loader = WeightLoader(arch)
        m.submodules.io_engine = self._io = IoEngine(arch)
        m.submodules.compute_unit = self._compute = ComputeUnit(arch)
        m.submodules.post_processor = self._post = PostProcessor(arch)
        m.submodules.layernorm = self._norm = LayerNorm(arch)
        m.submodules.softmax = self._softmax = SoftmaxStatistics(arch)
        m.submodules.gate_unit = self._gate = GateUnit(arch)
        m.submodules.expert_queues = self._queues = ExpertQueues(arch)
        self._tokens = TokenUnit(arch) if arch.list_entries else None
        if self._tokens is not None:
            m.submodules.token_unit = self._tokens

    def _memories(self, m: Module) -> None:
        """Activation buffers (docs/architecture.md, "Buffers") and rings."""
        self._residual = self._buffer(m, "residual_buffer", RESIDUAL)
        self._h = self._buffer(m, "norm_buffer", NORM)
        self._activation = self._buffer(m, "activation_buffer", ACTIVATION, granularity=GATHER_BITS)
        self._keys = self._buffer(m, "key_buffer", KEY)
        self._values = self._buffer(m, "value_buffer", VALUE)
        self._scores = self._buffer(m, "score_buffer", SCORE)
        self._factors = self._buffer(m, "row_factors", ROW_FACTOR)
        self._norm_ring, self._param_ring, self._weight_ring = (self._ring(m, ring) for ring in RINGS)

    def _buffer(self, m: Module, name: str, info: MemoryInfo, granularity: int | None = None) -> Any:
        """A buffer as hwgen/spec/buffers.py declares it."""
        words, bits = info.words(self._arch), info.word_bits(self._arch)
        if info.banks == "one":
            made: Any = RowBuffer(words, bits, reads=info.copies(self._arch), granularity=granularity)
        else:
            made = BankedBuffer(info.bank_count(self._arch), words, bits)
        m.submodules[name] = self.memories[info.name] = made
        return made

    def _ring(self, m: Module, info: MemoryInfo) -> Ring:
        made = Ring(info.words(self._arch), info.word_bits(self._arch), self._arch.weight_ports)
        m.submodules[info.name] = self.memories[info.name] = made
        return made

    def _instructions(self, m: Module) -> None:
        for unit, port in zip(
            UNITS[:-1], (self._loader.instructions, self._io.instructions, self._compute.i), strict=True
        ):
            wiring.connect(m, wiring.flipped(getattr(self, unit)), port)
        self._norm_instructions(m)
        m.d.comb += [
            self._loader.model.eq(self.model),
            self._io.model.eq(self.model),
            self._io.image.eq(self.image),
            self._io.result.eq(self.result),
            self._io.result_bytes.eq(self.result_bytes),
        ]

    def _norm_instructions(self, m: Module) -> None:
        """The NORM queue: LAYERNORM, and where the machine selects tokens, what is to be done with these."""
        if self._tokens is None:
            wiring.connect(m, wiring.flipped(self.norm), self._norm.i)
            return
        normalises = opcode_among(self.norm.payload.word, Opcode.LAYERNORM, Unit.NORM)
        for unit, chosen in ((self._norm, normalises), (self._tokens, ~normalises)):
            m.d.comb += [unit.i.payload.eq(self.norm.payload), unit.i.valid.eq(self.norm.valid & chosen)]
        m.d.comb += self.norm.ready.eq(Mux(normalises, self._norm.i.ready, self._tokens.i.ready))

    def _tables(self, m: Module) -> None:
        """Function tables are broadcast, a cycle late."""
        self._table = {name: Signal.like(getattr(self._io.table, name), name=f"table_{name}") for name in _TABLE}
        m.d.sync += [entry.eq(getattr(self._io.table, name)) for name, entry in self._table.items()]
        for unit in (self._compute, self._post, self._norm, self._softmax, self._gate):
            self._fill_tables(m, unit)

    def _fill_tables(self, m: Module, unit: Any) -> None:
        m.d.comb += [getattr(unit.table, name).eq(entry) for name, entry in self._table.items()]

    def _operands(self, m: Module) -> None:
        """Compute unit reads its operands."""
        compute = self._compute
        _read(m, compute.norm, self._h.read[0])
        _read(m, compute.activation, self._activation.read[0])
        _read(m, compute.score, self._scores.read[0])
        _read(m, compute.factor, self._factors.read[0])
        m.d.comb += [
            self._keys.address.eq(compute.key_address),
            self._values.address.eq(compute.value_address),
            compute.keys.eq(self._keys.data),
            compute.values.eq(self._values.data),
        ]

    def _results(self, m: Module) -> None:
        """Tiles to the post-processor, its rows to the buffers; IO fills residual and patches before they are used."""
        compute, post, io = self._compute, self._post, self._io
        m.d.comb += [post.sums.eq(compute.sums), post.sums_valid.eq(compute.sums_valid), post.tag.eq(compute.tag)]
        _read(m, post.factor, self._factors.read[1])
        _write(m, self._scores.write, post.score_write)
        for buffer, writer in ((self._keys, post.key), (self._values, post.value)):
            m.d.comb += buffer.write.bank.eq(writer.bank)
            _write(m, buffer.write, writer)
        _write(m, self._residual.write, post.residual_write)
        with m.If(io.residual.enable):
            _write(m, self._residual.write, io.residual)
        if self._tokens is not None:
            with m.If(self._tokens.residual_write.enable):
                _write(m, self._residual.write, self._tokens.residual_write)
        groups = len(self._activation.write.enable)
        m.d.comb += [
            self._activation.write.enable.eq(post.activation.enable.replicate(groups)),
            self._activation.write.address.eq(post.activation.address),
            self._activation.write.data.eq(post.activation.data),
        ]
        with m.If(io.activation.enable.any()):
            _write(m, self._activation.write, io.activation)

    def _normalise(self, m: Module) -> None:
        norm = self._norm
        self._read_residual(m)
        _write(m, self._h.write, norm.write)
        _read(m, norm.params, self._norm_ring.read)
        m.d.comb += [norm.arrived.eq(self._norm_ring.arrived), self._norm_ring.release.eq(norm.release)]

    def _read_residual(self, m: Module) -> None:
        """A copy for each reader; LayerNorm reads the only one in cycles in which the post-processor does not.

        The token unit reads when LayerNorm has no instruction.
        """
        post, reads = self._post, self._residual.read
        beside: list[Any] = [self._norm]
        address = self._norm.residual.address
        if self._tokens is not None:
            beside.append(self._tokens)
            address = Mux(self._norm.idle, self._tokens.residual.address, address)
        m.d.comb += [unit.residual.data.eq(reads[-1].data) for unit in beside]
        if len(reads) == RESIDUAL.readers:
            _read(m, post.residual_read, reads[0])
            m.d.comb += reads[1].address.eq(address)
            return
        m.d.comb += [
            reads[0].address.eq(Mux(post.residual_wanted, post.residual_read.address, address)),
            post.residual_read.data.eq(reads[0].data),
        ]
        m.d.comb += [unit.residual_taken.eq(post.residual_wanted) for unit in beside]

    def _rings(self, m: Module) -> None:
        compute, post = self._compute, self._post
        for name, ring in zip(RING_NAMES, (self._norm_ring, self._param_ring, self._weight_ring), strict=True):
            wiring.connect(m, getattr(self._loader, name), ring.fill)
        _read(m, compute.weights, self._weight_ring.read)
        _read(m, post.param, self._param_ring.read)
        m.d.comb += [
            compute.weights_arrived.eq(self._weight_ring.arrived),
            compute.params_arrived.eq(self._param_ring.arrived),
            self._weight_ring.release.eq(compute.weights_release),
            self._param_ring.release.eq(compute.params_release + post.param_release),
        ]

    def _attention(self, m: Module) -> None:
        """Rows of scores to the statistics, row factors back."""
        for name in self._softmax.i.signature.members:
            m.d.comb += getattr(self._softmax.i, name).eq(getattr(self._post.scores, name))
        _write(m, self._factors.write, self._softmax.write)
        if self._tokens is not None:
            self._observe(m, self._tokens)

    def _observe(self, m: Module, tokens: TokenUnit) -> None:
        """Scores of the first query to the observer, its importances to the selections, and their lists."""
        m.submodules.attention_observer = observer = AttentionObserver(self._arch)
        for name in observer.i.signature.members:
            m.d.comb += getattr(observer.i, name).eq(getattr(self._post.scores, name))
        self._fill_tables(m, observer)
        wiring.connect(m, self._softmax.reciprocal, observer.row)
        wiring.connect(m, tokens.importance, observer.importance)
        m.d.comb += [self._softmax.observed.eq(observer.observed), tokens.counters.eq(self._norm.counters)]
        made = self._buffer(m, "list_memory", LIST)
        _write(m, made.write, tokens.list_write)
        _read(m, tokens.list_read, made.read[0])

    def _experts(self, m: Module) -> None:
        """Logits to the gate, its choice to the queues, the queues to the compute unit."""
        queues, asked = self._queues, self._compute.queue
        wiring.connect(m, self._post.gate, self._gate.i)
        wiring.connect(m, self._gate.push, queues.push)
        m.d.comb += [
            self._compute.gate_space.eq(self._gate.space),
            queues.queue_expert.eq(asked.expert),
            queues.queue_position.eq(asked.position),
            asked.token.eq(queues.queue_token),
            asked.score.eq(queues.queue_score),
            queues.length_expert.eq(asked.length_expert),
            asked.length.eq(queues.length),
            asked.more.eq(queues.more),
        ]

    def _result_fifo(self, m: Module) -> None:
        """Rows on their way to the result FIFO; the issuer takes credit for the rows of a tile before it issues."""
        arch, compute, post, io = self._arch, self._compute, self._post, self._io
        width = 16 * arch.output_lanes
        m.submodules.results = results = fifo.SyncFIFOBuffered(width=width, depth=RESULT_ROWS)
        credit = Signal(range(RESULT_ROWS + 1), init=RESULT_ROWS)
        taken, promised = Signal(), Signal.like(compute.result_rows)
        m.d.sync += [promised.eq(compute.result_rows), credit.eq(credit - promised + taken)]
        m.d.comb += [
            compute.result_space.eq(credit >= 2 * arch.token_lanes),  # for this tile and one that went a cycle ago
            results.w_en.eq(post.result.valid),
            results.w_data.eq(post.result.data),
            io.results.valid.eq(results.r_rdy),
            io.results.payload.eq(results.r_data),
            results.r_en.eq(io.results.ready),
            taken.eq(results.r_rdy & results.r_en),
        ]

    def _progress(self, m: Module) -> None:
        """Everyone who finishes rows tells the scoreboard."""
        sources = [unit.progress for unit in (self._post, self._norm, self._softmax, self._gate, self._io)]
        m.submodules.scoreboard = scoreboard = Scoreboard(len(sources))
        for pulse, source in zip(scoreboard.pulses, sources, strict=True):
            m.d.comb += [getattr(pulse, name).eq(getattr(source, name)) for name in ("valid", "counter", "count")]
        for unit in (self._compute, self._norm, self._loader, self._io):
            m.d.comb += unit.counters.eq(scoreboard.counters)

    def _memory_buses(self, m: Module) -> None:
        loader, io = self._loader, self._io
        for outer, inner in zip(self.weight_bus, loader.buses, strict=True):
            wiring.connect(m, wiring.flipped(outer), inner)
        wiring.connect(m, wiring.flipped(self.read_bus), io.read_bus)
        wiring.connect(m, wiring.flipped(self.write_bus), io.write_bus)
        m.d.comb += [
            loader.halt.eq(self.halt),
            io.halt.eq(self.halt),
            self.busy.eq(Cat(loader.busy, io.busy)),
            self.read_beats.eq(Cat(loader.beats, io.read_beat)),
            self.write_beats.eq(io.write_beat),
        ]

    def _report(self, m: Module) -> None:
        """Events, faults, idleness."""
        compute = self._compute
        for name in (*EVENTS, "attention_query_reads", "attention_key_reads"):
            m.d.comb += getattr(self, name).eq(getattr(compute, name))
        tokens = () if self._tokens is None else (self._tokens.fault,)
        sources = (*compute.fault, self._post.fault, self._norm.fault, self._loader.fault, self._io.fault, *tokens)
        for outer, inner in zip(self.faults, sources, strict=True):
            wiring.connect(m, wiring.flipped(outer), inner)
        norm = self._norm.idle if self._tokens is None else self._norm.idle & self._tokens.idle
        units = (self._loader.idle, self._io.idle, compute.idle, norm, self._gate.idle, ~self._post.busy)
        m.d.comb += self.idles.eq(Cat(*units))

    def _trace(self, m: Module) -> None:
        m.submodules.trace = trace = Trace(self._arch)
        sources: dict[str, Any] = {"post": self._post.trace, "norm": self._norm.trace, "gate": self._gate.trace}
        norm_starts: list[Any] = [self._norm]
        moved = Value.cast(0)
        if self._tokens is not None:
            sources |= {"select": self._tokens.select, "move": self._tokens.move}
            norm_starts.append(self._tokens)
            moved = self._tokens.residual_write.enable
        for name, source in sources.items():
            channel = getattr(trace, name)
            m.d.comb += [getattr(channel, member).eq(getattr(source, member)) for member in channel.signature.members]
        starts = {
            "compute": (self._compute.started, self._compute.started_pc),
            "norm": (Cat(unit.started for unit in norm_starts).any(), self._norm.pc),
            "load": (self._loader.started, self._loader.started_pc),
            "io": (self._io.started, self._io.pc),
        }
        for name, (valid, pc) in starts.items():
            channel = getattr(trace, f"start_{name}")
            m.d.comb += [channel.valid.eq(valid), channel.pc.eq(pc)]
        writers = {
            RESIDUAL: (self._post.residual_write.enable, self._io.residual.enable | moved),
            ACTIVATION: (self._post.activation.enable, self._io.activation.enable.any()),
        }
        m.d.comb += [trace.writers[index].eq(Cat(*writers[memory])) for index, memory in enumerate(SHARED)]


_TABLE = ("enable", "table", "address", "data")


def _read(m: Module, reader: Any, memory: Any) -> None:
    """Join a reader's port with a memory's."""
    m.d.comb += [memory.address.eq(reader.address), reader.data.eq(memory.data)]


def _write(m: Module, memory: Any, writer: Any) -> None:
    """Join a memory's write port with its writer's."""
    m.d.comb += [getattr(memory, name).eq(getattr(writer, name)) for name in ("enable", "address", "data")]
