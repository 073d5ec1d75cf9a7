"""Word walker: streams the words of one row of A after the other."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import EXPERT_SCORE_BITS, ROW_BITS, WORD_ADDRESS_BITS, fault
from hwgen.rtl.matmul.row_walker import row_layout
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import ErrorCode


def info_layout() -> data.StructLayout:
    """What the issuer must know of a loaded row."""
    return data.StructLayout({"token": ROW_BITS, "score": EXPERT_SCORE_BITS})


def word_layout(arch: ArchConfig) -> data.StructLayout:
    """What travels with a word from its address to its write."""
    lane = max(1, (arch.token_lanes - 1).bit_length())
    return data.StructLayout(
        {
            "write": 1,
            "last": 1,
            "source": 2,
            "lane": lane,
            "slot": 1,
            "word": 10,
            "keys": ROW_BITS,
            "octave": 5,
            "info": info_layout(),
        }
    )


class WordWalker(wiring.Component):
    """A word a cycle, from row to row.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In stream of ``row_layout``. address: Out, word address in the buffer that the row comes from.
    o: Out(word_layout), of the word at ``address``. fault: Out. idle: Out(1).

    Timing: outputs come from registers, the first word of a row ``latency`` cycles after the row; a row without words
    (a padded lane) takes one cycle.
    """

    latency = 1

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(row_layout(arch))),
                "address": Out(WORD_ADDRESS_BITS + 2),
                "o": Out(word_layout(arch)),
                "fault": Out(fault()),
                "idle": Out(1),
            }
        )
        self._arch = arch

    def elaborate(self, platform: object) -> Module:
        """The row that is being read, and how many words of it are left."""
        m = Module()
        new = self.i.payload
        row, busy, last = Signal(row_layout(self._arch)), Signal(), Signal()
        word, left, keys = Signal(10), Signal(10), Signal(ROW_BITS)
        m.d.comb += self.i.ready.eq(~busy | last)
        with m.If(self.i.ready):
            m.d.sync += [row.eq(new), busy.eq(self.i.valid), self.address.eq(new.address), keys.eq(new.keys)]
            m.d.sync += [word.eq(0), left.eq(new.words - 1), last.eq(new.pad | (new.words == 1))]
        with m.Else():
            m.d.sync += [self.address.eq(self.address + 1), keys.eq(keys - self._arch.output_lanes)]
            m.d.sync += [word.eq(word + 1), left.eq(left - 1), last.eq(left == 1)]
        self._check(m, row, busy)
        m.d.comb += [
            self.idle.eq(~busy),
            self.o.write.eq(busy & ~row.pad),
            self.o.last.eq(busy & last),
            self.o.word.eq(word),
            self.o.keys.eq(keys),
            self.o.info.token.eq(row.token),
            self.o.info.score.eq(row.score),
            *(getattr(self.o, name).eq(getattr(row, name)) for name in ("source", "lane", "slot", "octave")),
        ]
        return m

    def _check(self, m: Module, row: data.View, busy: Signal) -> None:
        """A word outside its buffer, or a row longer than a slot of the operand tile RAM."""
        arch = self._arch
        outside = Signal()
        with m.Switch(row.source):
            for source, depth in enumerate((arch.norm_words, arch.activation_words, arch.score_words)):
                with m.Case(source):
                    m.d.comb += outside.eq(self.address >= depth)
        m.d.comb += [
            self.fault.valid.eq(busy & ~row.pad & (outside | (row.words > arch.words(arch.max_inputs)))),
            self.fault.code.eq(int(ErrorCode.OUT_OF_BOUNDS)),
            self.fault.pc.eq(row.pc),
        ]
