"""Position loader: LOAD_POSITION, the position table from memory to the residual buffer."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.bus import DATA_BITS, burst_command
from hwgen.rtl.lib.decode import fields
from hwgen.rtl.lib.interfaces import WORD_ADDRESS_BITS, buffer_write, progress_pulse
from hwgen.rtl.lib.loop_counter import LoopCounter
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import RESIDUAL
from hwgen.spec.isa import Counter, Opcode


class PositionLoader(wiring.Component):
    """Assembles beats into residual words, writes them one after another and counts finished rows.

    Members
    -------
    start: In(1), pulse, while idle. word: In(256), the instruction, stable until not busy. model: In(64).
    command: Out(stream of burst_command), beats: In(stream of 128 bits): the read engine.
    residual: Out(write_port(16 * Po)). progress: Out(progress_pulse), RESIDUAL, with the write of a row's last word.
    busy: Out(1). overflow: Out(1), pulse: the rows do not fit into the buffer; nothing is loaded.

    Timing: takes a beat a cycle; ``write_latency`` = 1 cycle from the last beat of a word to its write.
    """

    write_latency = 1

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "start": In(1),
                "word": In(256),
                "model": In(64),
                "command": Out(stream.Signature(burst_command())),
                "beats": In(stream.Signature(DATA_BITS)),
                "residual": Out(buffer_write(RESIDUAL, arch)),
                "progress": Out(progress_pulse()),
                "busy": Out(1),
                "overflow": Out(1),
            }
        )
        self._word_beats = RESIDUAL.word_bits(arch) // DATA_BITS
        self._depth = arch.residual_words

    def elaborate(self, platform: object) -> Module:
        """Check the size, ask for everything, write as it comes."""
        m = Module()
        parts = fields(Opcode.LOAD_POSITION, self.word)
        words, end = Signal(22), Signal(23)
        left, last = Signal(22), Signal()  # words that are not written yet
        filling, one_left = Signal(), Signal()  # beats are taken, in FILL; ``left`` is one
        nothing = Signal()
        m.d.sync += [words.eq(parts["rows"] * parts["row_words"]), end.eq(words + parts["dst_base"])]
        m.d.sync += nothing.eq((parts["rows"] == 0) | (parts["row_words"] == 0))
        m.d.comb += [
            self.command.payload.address.eq(self.model + parts["offset"]),
            self.command.payload.beats.eq(words * self._word_beats),
            self.beats.ready.eq(filling),
        ]
        complete = self._assemble(m)
        self._write(m, parts["dst_base"], parts["row_words"], complete)
        with m.If(complete):
            m.d.sync += [left.eq(left - 1), one_left.eq(left == 2)]
        with m.Else():
            m.d.sync += one_left.eq(left == 1)
        m.d.comb += last.eq(complete & one_left)
        with m.FSM(name="load") as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                with m.If(self.start):
                    m.next = "MULTIPLY"
            with m.State("MULTIPLY"):
                m.next = "ADD"
            with m.State("ADD"):
                m.d.sync += left.eq(words)
                m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += self.overflow.eq(end > self._depth)
                with m.If(self.overflow | nothing):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += self.command.valid.eq(1)
                with m.If(self.command.ready):
                    m.d.sync += filling.eq(1)
                    m.next = "FILL"
            with m.State("FILL"):
                with m.If(last):
                    m.d.sync += filling.eq(0)
                    m.next = "FLUSH"
            with m.State("FLUSH"):
                m.next = "IDLE"
        return m

    def _assemble(self, m: Module) -> Signal:
        """Collect the beats of a word; high when the beat that completes it is taken."""
        complete = Signal()
        taken = self.beats.valid & self.beats.ready
        if self._word_beats == 1:
            m.d.comb += complete.eq(taken)
            m.d.sync += self.residual.data.eq(self.beats.payload)
            return complete
        beat = Signal(range(self._word_beats))
        m.d.comb += complete.eq(taken & beat.all())
        with m.If(taken):
            m.d.sync += [
                beat.eq(beat + 1),
                self.residual.data.eq(Cat(self.residual.data[DATA_BITS:], self.beats.payload)),
            ]
        return complete

    def _write(self, m: Module, base: Value, row_words: Value, complete: Signal) -> None:
        """Address and row counter; restarted by ``start``."""
        address, word = Signal(WORD_ADDRESS_BITS), LoopCounter(m, row_words, "word_of_row")
        m.d.comb += [
            self.progress.counter.eq(Counter.RESIDUAL),
            self.progress.count.eq(1),
        ]
        m.d.sync += [self.residual.enable.eq(complete), self.progress.valid.eq(complete & word.at_last)]
        with m.If(self.start):
            m.d.sync += address.eq(base)
            word.restart()
        with m.Elif(complete):
            m.d.sync += [address.eq(address + 1), self.residual.address.eq(address)]
            word.step()
