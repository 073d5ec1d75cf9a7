"""Weight loader: runs LOAD_WEIGHTS far ahead of their consumers and keeps the three rings full."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.rtl.axi import BEAT_BYTES_LOG2, axi4_read
from hwgen.rtl.decode import fields
from hwgen.rtl.interfaces import COUNTER_BITS, PC_BITS, fault, issued
from hwgen.rtl.port_reader import RINGS, PortReader
from hwgen.rtl.ring import ring_fill
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import ErrorCode, Opcode

RING_NAMES = ("norm", "param", "weight")  # in the order of a load
COUNT_BITS = 20
LOADS_UNDER_WAY = 8  # loads planned whose data has not all come


def _load_layout() -> data.StructLayout:
    """A queued LOAD_WEIGHTS."""
    return data.StructLayout(
        {"offset": 32, "port_stride": 32, "words": data.ArrayLayout(COUNT_BITS, RINGS), "pc": PC_BITS}
    )


class WeightLoader(wiring.Component):
    """Every port streams its slices of a load: norm entries, parameter entries, weight tiles, in chunks of a burst.

    A chunk is requested from all ports at once, after its words have been reserved in their ring.

    Members
    -------
    instructions: In(stream of issued), LOAD_WEIGHTS; ``arch.load_queue`` of them wait here.
    model: In(64), the MODEL pointer.
    buses[p]: Out(axi4_read), weight port p. beats: Out(ports), a beat came, for the counters.
    norm, param, weight: Out(ring_fill(ports)), one per ring.
    halt: In(1). busy: Out(1), data is outstanding. idle: Out(1), nothing queued, everything has arrived.
    fault: Out(fault), a bad response; pc of the oldest load that has not arrived.
    started, finished: Out(1), pulses, with started_pc, finished_pc: Out(16): first chunk planned, all data delivered.

    Timing
    ------
    Planning a load takes ``chunk_interval`` = 2 cycles per chunk and ``load_overhead`` = ports + 5 more, hidden while
    chunks wait in the ports, so every port moves one beat a cycle as long as DDR and rings let it.
    """

    chunk_interval = 2

    def __init__(self, arch: ArchConfig) -> None:
        ports = arch.weight_ports
        super().__init__(
            {
                "instructions": In(stream.Signature(issued())),
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
        self.load_overhead = ports + 5
        slice_beats = (arch.param_beats // ports, arch.param_beats // ports, arch.tile_beats // ports)
        depths = (arch.norm_entries, arch.param_entries, arch.ring_words)
        self.slice_beats = slice_beats
        self.chunk_words = tuple(
            min(max(1, arch.burst_beats // beats), depth) for beats, depth in zip(slice_beats, depths, strict=True)
        )

    def elaborate(self, platform: object) -> Module:
        """A queue of loads, the planner of chunks, and one reader per port."""
        m = Module()
        m.submodules.loads = loads = SyncFIFO(width=_load_layout().size, depth=self._arch.load_queue)
        m.submodules.pcs = pcs = SyncFIFO(width=PC_BITS, depth=LOADS_UNDER_WAY)
        readers = [PortReader(self._arch) for _ in range(self._arch.weight_ports)]
        self._queue(m, loads)
        self._connect(m, readers)
        planning = Signal()
        self._plan(m, data.View(_load_layout(), loads.r_data), loads, pcs, readers, planning)
        self._finish(m, pcs, readers)
        m.d.comb += self.idle.eq(~loads.r_rdy & ~planning & ~pcs.r_rdy & ~self.busy)
        return m

    def _queue(self, m: Module, loads: SyncFIFO) -> None:
        """Keep only what the planner needs of an instruction."""
        item = self.instructions.payload
        parts = fields(Opcode.LOAD_WEIGHTS, item.word)
        load = Signal(_load_layout())
        m.d.comb += [
            load.offset.eq(parts["offset"]),
            load.port_stride.eq(parts["port_stride"]),
            *(
                load.words[i].eq(parts[name])
                for i, name in enumerate(("norm_entries", "param_entries", "weight_words"))
            ),
            load.pc.eq(item.pc),
            loads.w_data.eq(load),
            loads.w_en.eq(self.instructions.valid),
            self.instructions.ready.eq(loads.w_rdy),
        ]

    def _connect(self, m: Module, readers: list[PortReader]) -> None:
        for port, reader in enumerate(readers):
            m.submodules[f"reader_{port}"] = reader
            connect(m, reader.bus, flipped(self.buses[port]))
            m.d.comb += [reader.halt.eq(self.halt), self.beats[port].eq(reader.beat)]
            for index, name in enumerate(RING_NAMES):
                fill = getattr(self, name)
                m.d.comb += [fill.valid[port].eq(reader.valid[index]), fill.data[port].eq(reader.data)]
        m.d.comb += self.busy.eq(Cat(reader.busy for reader in readers).any())

    def _plan(
        self,
        m: Module,
        load: data.View,
        loads: SyncFIFO,
        pcs: SyncFIFO,
        readers: list[PortReader],
        planning: Signal,
    ) -> None:
        """One load at a time: addresses of the ports, then chunks, ring after ring, then the end marker."""
        base, stride = Signal(64), Signal(32)
        addresses = [Signal(64, name=f"address_{port}") for port in range(len(readers))]
        port = Signal(range(len(readers)))
        words = Signal(_load_layout()["words"].shape)  # still to plan; the current ring's are words[0]
        ring, take, beats = Signal(range(RINGS)), Signal(COUNTER_BITS), Signal(8)
        room, push = Signal(), Signal()
        m.d.comb += [
            room.eq(Cat(reader.room for reader in readers).all()),
            pcs.w_data.eq(load.pc),
            self.started_pc.eq(load.pc),
        ]
        for address, reader in zip(addresses, readers, strict=True):
            m.d.comb += [
                reader.push.eq(push),
                reader.chunk.address.eq(address),
                reader.chunk.beats.eq(beats),
                reader.chunk.ring.eq(ring),
            ]
        with m.FSM(name="plan") as fsm:
            m.d.comb += planning.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += [base.eq(self.model + load.offset), stride.eq(load.port_stride), words.eq(load.words)]
                m.d.sync += [port.eq(0), ring.eq(0)]
                with m.If(loads.r_rdy & pcs.w_rdy & ~self.halt):
                    m.d.comb += [loads.r_en.eq(1), pcs.w_en.eq(1), self.started.eq(1)]
                    m.next = "ADDRESSES"
            with m.State("ADDRESSES"):
                m.d.sync += [base.eq(base + stride), port.eq(port + 1)]
                for index, address in enumerate(addresses):
                    with m.If(port == index):
                        m.d.sync += address.eq(base)
                with m.If(port == len(readers) - 1):
                    m.next = "CHUNK"
            with m.State("CHUNK"):
                self._size(m, words[0], ring, take, beats)
                with m.If(words[0] != 0):
                    m.next = "REQUEST"
                with m.Else():
                    m.d.sync += [words.eq(words.as_value() >> COUNT_BITS), ring.eq(ring + 1)]
                    with m.If(ring == RINGS - 1):
                        m.next = "END"
            with m.State("REQUEST"):
                with m.If(room & self._reserve(m, ring, take, push)):
                    m.d.comb += push.eq(1)
                    m.d.sync += words[0].eq(words[0] - take)
                    for address in addresses:
                        m.d.sync += address.eq(address + (beats << BEAT_BYTES_LOG2))
                    m.next = "CHUNK"
            with m.State("END"):
                for reader in readers:
                    m.d.comb += reader.chunk.end.eq(1)
                with m.If(room):
                    m.d.comb += push.eq(1)
                    m.next = "IDLE"

    def _size(self, m: Module, left: Value, ring: Signal, take: Signal, beats: Signal) -> None:
        """Words and beats of the next chunk."""
        with m.Switch(ring):
            for index in range(RINGS):
                with m.Case(index):
                    most = self.chunk_words[index]
                    words = Mux(left < most, left, most)[: most.bit_length()]
                    m.d.sync += [take.eq(words), beats.eq(words * self.slice_beats[index])]

    def _reserve(self, m: Module, ring: Signal, take: Signal, push: Signal) -> Signal:
        """Whether the ring has the space; claims it with ``push``."""
        fits = Signal()
        with m.Switch(ring):
            for index, name in enumerate(RING_NAMES):
                fill = getattr(self, name)
                with m.Case(index):
                    m.d.comb += [fits.eq(fill.space >= take), fill.reserve.eq(Mux(push, take, 0))]
        return fits

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
