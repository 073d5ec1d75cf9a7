"""Importances of one sequence, held twice: one at a time to add to and to judge, a word at a time to search."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import ROW_BITS, WORD_ADDRESS_BITS
from hwgen.rtl.lib.pipeline import delay
from hwgen.spec.arch import ArchConfig
from hwgen.spec.choices import importance_lanes
from hwgen.spec.numerics import IMPORTANCE_BITS

_LOW_BITS = IMPORTANCE_BITS - 1  # fill the look-up tables of a lane


class ImportanceMemory(wiring.Component):
    """``importance_lanes`` memories, one a lane, and one of single importances beside them.

    Positions are written in ascending order. A first importance at lane 0 makes the other lanes of its word zero, so
    positions past the last count as zero. The top bits of a word have a memory of their own, which is written anew
    with each position: a lane of one more bit would take half as many look-up tables again.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    enable: In(1). position: In(12). importance: In(29): stored at ``position``. clear: In(1): it is of a first head.
    A word can be read when all its positions are written.
    word: In(16) -> words: Out(29 * lanes). read_position: In(12) -> read_importance: Out(29).

    Timing: reads take READ_LATENCY cycles; a write is seen by an address of the next cycle.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        self._lanes = importance_lanes(arch)
        super().__init__(
            {
                "enable": In(1),
                "clear": In(1),
                "position": In(ROW_BITS),
                "importance": In(IMPORTANCE_BITS),
                "word": In(WORD_ADDRESS_BITS),
                "words": Out(IMPORTANCE_BITS * self._lanes),
                "read_position": In(ROW_BITS),
                "read_importance": Out(IMPORTANCE_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A small memory a lane, in look-up tables, and a block RAM."""
        m = Module()
        self._single(m)
        self._words(m)
        return m

    def _single(self, m: Module) -> None:
        m.submodules.single = memory = Memory(shape=unsigned(IMPORTANCE_BITS), depth=self._arch.max_tokens, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.enable),
            write.addr.eq(self.position),
            write.data.eq(self.importance),
            read.addr.eq(self.read_position),
            self.read_importance.eq(delay(m, read.data, 1, "single")),
        ]

    def _words(self, m: Module) -> None:
        """Read at once and registered on either side."""
        lane_bits = (self._lanes - 1).bit_length()
        depth = -(-self._arch.max_tokens // self._lanes)
        lane, first = self.position[:lane_bits], Signal()
        word = Signal(range(max(2, depth)), name="word_kept", reset_less=True)
        m.d.comb += first.eq(lane == 0)
        m.d.sync += word.eq(self.word)
        place, data = self.position >> lane_bits, []
        for index in range(self._lanes):
            here, low = Signal(name=f"here_{index}"), Signal(_LOW_BITS, name=f"low_{index}")
            m.d.comb += [
                here.eq(self.enable & ((lane == index) | (first & self.clear))),
                low.eq(self.importance if index == 0 else Mux(first, 0, self.importance)),
            ]
            data.append(self._memory(m, f"lane_{index}", low, here, place, word))
        top, kept = Signal(self._lanes), Signal(self._lanes, name="top_kept", reset_less=True)
        m.d.comb += top.eq(Mux(first, 0, kept) | (self.importance[_LOW_BITS] << lane))
        with m.If(self.enable):
            m.d.sync += kept.eq(top)
        tops = self._memory(m, "tops", top, self.enable, place, word)
        m.d.comb += self.words.eq(Cat(Cat(low, tops[index]) for index, low in enumerate(data)))

    def _memory(self, m: Module, name: str, value: Value, here: Value, place: Value, word: Value) -> Value:
        """A memory that is read at once, and a register behind it."""
        depth = -(-self._arch.max_tokens // self._lanes)
        m.submodules[name] = memory = Memory(shape=unsigned(len(value)), depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [write.en.eq(here), write.addr.eq(place), write.data.eq(value), read.addr.eq(word)]
        return delay(m, read.data, 1, f"read_{name}")
