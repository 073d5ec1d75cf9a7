"""Ring: a word memory that AXI ports fill side by side and a consumer reads by address and frees by count."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.bus import DATA_BITS
from hwgen.rtl.lib.interfaces import COUNTER_BITS, read_port, ring_fill
from hwgen.spec.choices import READ_LATENCY


class Ring(wiring.Component):
    """``depth_words`` words of ``width_bits``, each of ``slices`` contiguous parts of whole beats, slice 0 lowest.

    Members
    -------
    fill: In(ring_fill), the loader's side. Slices advance on their own; within a slice, beats come lowest first.
    read: In(read_port(width_bits)); the reader counts addresses modulo ``depth_words`` itself.
    release: In(16), words freed in this cycle, oldest first, 0 for none; allowed together with the last read's address.
    arrived: Out(16), words complete in all slices since reset, modulo 2^16.
    level: Out(16), words arrived and not released.

    Timing
    ------
    write_latency = 2: cycles from a word's last beat to ``arrived``, when the word can be addressed.
    release_latency = READ_LATENCY + 1: cycles from ``release`` to ``space``; reserve_latency = 1: from ``reserve``.
    """

    write_latency = 2
    release_latency = READ_LATENCY + 1
    reserve_latency = 1

    def __init__(self, depth_words: int, width_bits: int, slices: int) -> None:
        if not 2 <= depth_words < 1 << (COUNTER_BITS - 1):
            raise ValueError(f"depth_words must be in 2..{(1 << COUNTER_BITS - 1) - 1}, got {depth_words}")
        if slices < 1 or width_bits % (slices * DATA_BITS):
            raise ValueError(f"width_bits {width_bits} is not {slices} slices of whole {DATA_BITS}-bit beats")
        super().__init__(
            {
                "fill": In(ring_fill(slices)),
                "read": In(read_port(width_bits)),
                "release": In(COUNTER_BITS),
                "arrived": Out(COUNTER_BITS),
                "level": Out(COUNTER_BITS),
            }
        )
        self.depth_words = depth_words
        self.slices = slices
        self.slice_beats = width_bits // (slices * DATA_BITS)

    def elaborate(self, platform: object) -> Module:
        """Slices write their own columns; counters join them."""
        m = Module()
        columns: list[Value] = []
        completes: list[Signal] = []
        for index in range(self.slices):
            complete = Signal(name=f"complete_{index}")
            columns += self._slice(m, index, complete)
            completes.append(complete)
        word = Signal(len(self.read.data))
        m.d.comb += word.eq(Cat(*columns))
        m.d.sync += self.read.data.eq(word)
        arrival, released = self._arrival(m, completes), self._released(m)
        space = Signal(COUNTER_BITS, init=self.depth_words)
        m.d.sync += [
            space.eq(space - self.fill.reserve + released),
            self.arrived.eq(self.arrived + arrival),
            self.level.eq(self.level + arrival - self.release),
        ]
        m.d.comb += self.fill.space.eq(space)
        return m

    def _slice(self, m: Module, index: int, complete: Signal) -> list[Value]:
        """Write pointer of one slice and its beat-wide memories; their read data, lowest first."""
        valid = Signal(name=f"valid_{index}")
        beat_data = Signal(DATA_BITS, name=f"data_{index}")
        beat = Signal(range(max(self.slice_beats, 2)), name=f"beat_{index}")  # at least one bit, for Verilog
        address = Signal(range(self.depth_words), name=f"address_{index}")
        m.d.sync += [valid.eq(self.fill.valid[index]), beat_data.eq(self.fill.data[index])]
        m.d.comb += complete.eq(valid & (beat == self.slice_beats - 1))
        with m.If(valid):
            m.d.sync += beat.eq(Mux(complete, 0, beat + 1))
        with m.If(complete):
            m.d.sync += address.eq(Mux(address == self.depth_words - 1, 0, address + 1))
        columns: list[Value] = []
        for column in range(self.slice_beats):
            memory = Memory(shape=DATA_BITS, depth=self.depth_words, init=[])
            m.submodules[f"memory_{index}_{column}"] = memory
            store, fetch = memory.write_port(), memory.read_port()
            m.d.comb += [
                store.en.eq(valid & (beat == column)),
                store.addr.eq(address),
                store.data.eq(beat_data),
                fetch.addr.eq(self.read.address[: (self.depth_words - 1).bit_length()]),
            ]
            columns.append(fetch.data)
        return columns

    def _arrival(self, m: Module, completes: list[Signal]) -> Signal:
        """High when one more word is complete in every slice."""
        arrival = Signal()
        ahead = [Signal(range(self.depth_words + 1), name=f"ahead_{i}") for i in range(self.slices)]
        pairs = list(zip(completes, ahead, strict=True))
        m.d.comb += arrival.eq(Cat(*(complete | (count != 0) for complete, count in pairs)).all())
        for complete, count in pairs:
            m.d.sync += count.eq(count + complete - arrival)
        return arrival

    def _released(self, m: Module) -> Signal:
        """``release`` once the reads that came with it have left the memory."""
        delayed = self.release
        for stage in range(READ_LATENCY):
            late = Signal(COUNTER_BITS, name=f"released_{stage}")
            m.d.sync += late.eq(delayed)
            delayed = late
        return delayed
