"""Weight loader: runs LOAD_WEIGHTS far ahead of their consumers and keeps the three rings full."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.rtl.axi.bus import axi4_read
from hwgen.rtl.lib.decode import fields, reached
from hwgen.rtl.lib.interfaces import COUNTER_BITS, PC_BITS, PROGRESS_COUNTERS, fault, issued, ring_fill
from hwgen.rtl.load.chunk_planner import ChunkPlanner, load_layout
from hwgen.rtl.load.port_reader import PortReader
from hwgen.spec.arch import ArchConfig
from hwgen.spec.choices import LOADS_UNDER_WAY
from hwgen.spec.isa import ErrorCode, Opcode

RING_NAMES = ("norm", "param", "weight")  # in the order of a load


class WeightLoader(wiring.Component):
    """Every port streams its slices of a load: norm entries, parameter entries, weight tiles, in chunks of a burst.

    A chunk is requested from all ports at once, after its words have been reserved in their ring.

    Members
    -------
    instructions: In(stream of issued), LOAD_WEIGHTS; ``arch.load_queue`` of them wait here.
    counters: In, progress counters; the oldest load in the queue waits for its ``wait_b``, and the others behind it.
    model: In(64), the MODEL pointer.
    buses[p]: Out(axi4_read), weight port p. beats: Out(ports), a beat came, for the counters.
    norm, param, weight: Out(ring_fill(ports)), one per ring.
    halt: In(1). busy: Out(1), data is outstanding. idle: Out(1), nothing queued, everything has arrived.
    fault: Out(fault), a bad response; pc of the oldest load that has not arrived.
    started, finished: Out(1), pulses, with started_pc, finished_pc: Out(16): first chunk planned, all data delivered.

    Timing
    ------
    start_latency = 2: cycles from a load in the queue to its start; one from its counter to its start.
    Planning a load (ChunkPlanner) is hidden while chunks wait in the ports, so every port moves one beat a cycle as
    long as DDR and rings let it, less one cycle per load.
    """

    start_latency = 2

    def __init__(self, arch: ArchConfig) -> None:
        ports = arch.weight_ports
        super().__init__(
            {
                "instructions": In(stream.Signature(issued())),
                "counters": In(data.ArrayLayout(COUNTER_BITS, PROGRESS_COUNTERS)),
                "model": In(64),
                "buses": Out(axi4_read()).array(ports),
                "beats": Out(ports),
                **{name: Out(ring_fill(ports)) for name in RING_NAMES},
                "halt": In(1),
                "busy": Out(1),
                "idle": Out(1),
                "fault": Out(fault()),
                "started": Out(1),
                "started_pc": Out(PC_BITS),
                "finished": Out(1),
                "finished_pc": Out(PC_BITS),
            }
        )
        self._arch = arch
        self.planner = ChunkPlanner(arch)

    def elaborate(self, platform: object) -> Module:
        """A queue of loads, the planner of chunks, and one reader per port."""
        m = Module()
        m.submodules.loads = loads = SyncFIFO(width=load_layout().size, depth=self._arch.load_queue - 1)
        m.submodules.pcs = pcs = SyncFIFO(width=PC_BITS, depth=LOADS_UNDER_WAY)
        m.submodules.planner = planner = self.planner
        readers = [PortReader(self._arch) for _ in range(self._arch.weight_ports)]
        self._queue(m, loads)
        self._plan(m, loads, pcs, readers)
        self._connect(m, readers)
        self._finish(m, pcs, readers)
        m.d.comb += self.idle.eq(~loads.r_rdy & ~self._there & ~planner.busy & ~pcs.r_rdy & ~self.busy)
        return m

    def _queue(self, m: Module, loads: SyncFIFO) -> None:
        """Keep only what the planner needs of an instruction."""
        item = self.instructions.payload
        parts = fields(Opcode.LOAD_WEIGHTS, item.word)
        load = Signal(load_layout())
        m.d.comb += [
            load.offset.eq(parts["offset"]),
            load.port_stride.eq(parts["port_stride"]),
            *(
                load.words[i].eq(parts[name])
                for i, name in enumerate(("norm_entries", "param_entries", "weight_words"))
            ),
            load.pc.eq(item.pc),
            load.wait.counter.eq(parts["wait_b"]),
            load.wait.base.eq(parts["wait_b_base"]),
            loads.w_data.eq(load),
            loads.w_en.eq(self.instructions.valid),
            self.instructions.ready.eq(loads.w_rdy),
        ]

    def _plan(self, m: Module, loads: SyncFIFO, pcs: SyncFIFO, readers: list[PortReader]) -> None:
        """Loads to the planner by way of a register, its claims to the rings, its chunks to the ports."""
        planner, ready = self.planner, Signal()  # the oldest load may start; a cycle late, so never about one started
        load, there = Signal(load_layout()), Signal()
        wait = load.wait
        with m.If(self.started):
            m.d.sync += there.eq(0)
        with m.Elif(~there):
            m.d.sync += [load.eq(loads.r_data), there.eq(loads.r_rdy)]
        m.d.sync += ready.eq(there & pcs.w_rdy & reached(self.counters, wait.counter, wait.base, 0) & ~self.started)
        m.d.comb += [
            planner.load.payload.eq(load),
            planner.load.valid.eq(ready),
            self.started.eq(planner.load.valid & planner.load.ready),
            self.started_pc.eq(load.pc),
            loads.r_en.eq(~there),
            pcs.w_en.eq(self.started),
            pcs.w_data.eq(self.started_pc),
            planner.model.eq(self.model),
            planner.halt.eq(self.halt),
            planner.room.eq(Cat(reader.room for reader in readers).all()),
        ]
        self._there = there
        for index, name in enumerate(RING_NAMES):
            fill = getattr(self, name)
            m.d.comb += [planner.space[index].eq(fill.space), fill.reserve.eq(planner.reserve[index])]
        for port, reader in enumerate(readers):
            m.d.comb += [
                reader.push.eq(planner.push),
                reader.chunk.address.eq(planner.addresses[port]),
                reader.chunk.beats.eq(planner.beats),
                reader.chunk.ring.eq(planner.ring),
                reader.chunk.end.eq(planner.end),
            ]

    def _connect(self, m: Module, readers: list[PortReader]) -> None:
        """Ports to their buses and to the rings."""
        for port, reader in enumerate(readers):
            m.submodules[f"reader_{port}"] = reader
            connect(m, reader.bus, flipped(self.buses[port]))
            m.d.comb += [reader.halt.eq(self.halt), self.beats[port].eq(reader.beat)]
            for index, name in enumerate(RING_NAMES):
                fill = getattr(self, name)
                m.d.comb += [fill.valid[port].eq(reader.valid[index]), fill.data[port].eq(reader.data)]
        m.d.comb += self.busy.eq(Cat(reader.busy for reader in readers).any())

    def _finish(self, m: Module, pcs: SyncFIFO, readers: list[PortReader]) -> None:
        """A load is finished when its end marker has passed in every port."""
        ahead = [Signal(range(LOADS_UNDER_WAY + 1), name=f"ahead_{port}") for port in range(len(readers))]
        pairs = list(zip(readers, ahead, strict=True))
        m.d.comb += [
            self.finished.eq(Cat(reader.ended | (count != 0) for reader, count in pairs).all()),
            self.finished_pc.eq(pcs.r_data),
            pcs.r_en.eq(self.finished),
            self.fault.valid.eq(Cat(reader.error for reader in readers).any()),
            self.fault.code.eq(ErrorCode.AXI_READ),
            self.fault.pc.eq(pcs.r_data),
        ]
        for reader, count in pairs:
            m.d.sync += count.eq(count + reader.ended - self.finished)
