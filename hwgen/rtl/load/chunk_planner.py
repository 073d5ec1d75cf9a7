"""Chunk planner: cuts a load into chunks of about one burst and claims their space in the rings."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.bus import BEAT_BYTES_LOG2, BYTE_ADDRESS_BITS
from hwgen.rtl.lib.interfaces import COUNTER_BITS, PC_BITS
from hwgen.rtl.load.port_reader import RINGS
from hwgen.spec.arch import ArchConfig

COUNT_BITS = 20


def load_layout() -> data.StructLayout:
    """What is kept of a LOAD_WEIGHTS; ``words`` of the norm, parameter and weight ring, in the order of the load."""
    return data.StructLayout(
        {
            "offset": 32,
            "port_stride": 32,
            "words": data.ArrayLayout(COUNT_BITS, RINGS),
            "pc": PC_BITS,
            "wait": data.StructLayout({"counter": 4, "base": COUNTER_BITS}),
        }
    )


class ChunkPlanner(wiring.Component):
    """Goes through one load at a time: addresses of the ports, then chunks, ring after ring, then the end marker.

    Members
    -------
    load: In(stream of load_layout). model: In(64). halt: In(1), take no load.
    space: In(3 x 16), words free in each ring. reserve: Out(3 x 16), words claimed, one cycle after the push.
    room: In(1), every port can take a chunk, as it was a cycle ago. push: Out(1), they take it.
    ring, beats, end: Out, the chunk: its ring and beats per port, or the end of the load.
    addresses: Out(ports x 64), where it lies for each port.
    busy: Out(1), a load is being planned.

    Timing: ``chunk_interval`` = 3 cycles per chunk and ``load_overhead`` = ports + 5 more per load.
    """

    chunk_interval = 3

    def __init__(self, arch: ArchConfig) -> None:
        ports = arch.weight_ports
        super().__init__(
            {
                "load": In(stream.Signature(load_layout())),
                "model": In(BYTE_ADDRESS_BITS),
                "halt": In(1),
                "space": In(data.ArrayLayout(COUNTER_BITS, RINGS)),
                "reserve": Out(data.ArrayLayout(COUNTER_BITS, RINGS)),
                "room": In(1),
                "push": Out(1),
                "ring": Out(2),
                "beats": Out(8),
                "end": Out(1),
                "addresses": Out(data.ArrayLayout(BYTE_ADDRESS_BITS, ports)),
                "busy": Out(1),
            }
        )
        self._ports = ports
        self.load_overhead = ports + 5
        self.slice_beats = (arch.param_beats // ports, arch.param_beats // ports, arch.tile_beats // ports)
        depths = (arch.norm_entries, arch.param_entries, arch.ring_words)
        self.chunk_words = tuple(
            min(max(1, arch.burst_beats // beats), depth) for beats, depth in zip(self.slice_beats, depths, strict=True)
        )

    def elaborate(self, platform: object) -> Module:
        """One state machine over the load and its chunks."""
        m = Module()
        left = Signal(data.ArrayLayout(COUNT_BITS, RINGS))  # words still to plan; those of the current ring come first
        take = Signal(COUNTER_BITS)  # words of the chunk
        claim = Signal()
        for index in range(RINGS):
            m.d.sync += self.reserve[index].eq(Mux(claim & (self.ring == index), take, 0))
        with m.FSM(name="plan") as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            self._begin(m, left)
            self._chunks(m, left, take, claim)
        return m

    def _begin(self, m: Module, left: data.View) -> None:
        """Take a load; one port's address per cycle."""
        base, stride = Signal(BYTE_ADDRESS_BITS), Signal(32)
        port = Signal(range(max(self._ports, 2)))  # a signal of no bits is no Verilog
        load = self.load.payload
        with m.State("IDLE"):
            m.d.comb += self.load.ready.eq(~self.halt)
            m.d.sync += [base.eq(self.model + load.offset), stride.eq(load.port_stride), left.eq(load.words)]
            m.d.sync += [port.eq(0), self.ring.eq(0)]
            with m.If(self.load.valid & self.load.ready):
                m.next = "ADDRESSES"
        with m.State("ADDRESSES"):
            m.d.sync += [base.eq(base + stride), port.eq(port + 1)]
            for index in range(self._ports):  # the first port's address has moved down when the last one's comes in
                m.d.sync += self.addresses[index].eq(self.addresses[index + 1] if index + 1 < self._ports else base)
            with m.If(port == self._ports - 1):
                m.next = "SIZE"

    def _chunks(self, m: Module, left: data.View, take: Signal, claim: Signal) -> None:
        """Size of a chunk, then wait for ports and space; a claim shows in ``space`` before the next chunk asks."""
        fits = Signal()
        with m.State("SIZE"):
            self._size(m, left[0], take)
            m.d.sync += fits.eq(0)
            with m.If(left[0] != 0):
                m.next = "REQUEST"
            with m.Else():
                m.d.sync += [left.eq(left.as_value() >> COUNT_BITS), self.ring.eq(self.ring + 1)]
                with m.If(self.ring == RINGS - 1):
                    m.next = "END"
        with m.State("REQUEST"):
            spaces = Cat(self.space[index] >= take for index in range(RINGS))
            m.d.sync += fits.eq(spaces.bit_select(self.ring, 1))
            m.d.comb += [self.push.eq(self.room & fits), claim.eq(self.push)]
            with m.If(self.push):
                m.d.sync += left[0].eq(left[0] - take)
                for index in range(self._ports):
                    m.d.sync += self.addresses[index].eq(self.addresses[index] + (self.beats << BEAT_BYTES_LOG2))
                m.next = "SIZE"
        with m.State("END"):
            m.d.comb += [self.end.eq(1), self.push.eq(self.room)]
            with m.If(self.room):
                m.next = "IDLE"

    def _size(self, m: Module, left: Value, take: Signal) -> None:
        """Words and beats of the next chunk."""
        with m.Switch(self.ring):
            for index in range(RINGS):
                with m.Case(index):
                    most = self.chunk_words[index]
                    words = Mux(left < most, left, most)[: most.bit_length()]
                    m.d.sync += [take.eq(words), self.beats.eq(words * self.slice_beats[index])]
