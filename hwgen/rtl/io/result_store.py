"""Result store: STORE, rows of results from the post-processor to memory, through the result FIFO."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.bus import BEAT_BYTES_LOG2, DATA_BITS, burst_command
from hwgen.rtl.lib.decode import fields
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Opcode


class ResultStore(wiring.Component):
    """Holds up to ``arch.result_beats`` beats of results; STORE writes them, a burst whenever its data is here.

    Members
    -------
    start: In(1), pulse, while idle. word: In(256), the instruction, stable until not busy. result: In(64), pointer.
    result_bytes: In(32), most bytes of a STORE, 0: no bound. too_long: Out(1), pulse: it has more and writes nothing.
    results: In(stream of 16 * Po bits), words of results; taken while the FIFO has room, with or without a STORE.
    command: Out(stream of burst_command), data: Out(stream of 128 bits): the write engine. engine_busy: In(1), of it.
    busy: Out(1), until the last response has come.

    Timing: a word of Po values takes ``word_beats`` = Po / 8 cycles; bursts do not wait for each other's responses.
    ``STORE.beats`` is a multiple of ``word_beats``.
    """

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "start": In(1),
                "word": In(256),
                "result": In(64),
                "result_bytes": In(32),
                "too_long": Out(1),
                "results": In(stream.Signature(16 * arch.output_lanes)),
                "command": Out(stream.Signature(burst_command())),
                "data": Out(stream.Signature(DATA_BITS)),
                "engine_busy": In(1),
                "busy": Out(1),
            }
        )
        self.word_beats = 16 * arch.output_lanes // DATA_BITS
        self.depth_words = arch.result_words
        self.burst_words = min(max(1, arch.burst_beats // self.word_beats), self.depth_words)

    def elaborate(self, platform: object) -> Module:
        """FIFO, serialiser, and the requests of bursts that are complete in the FIFO."""
        m = Module()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=len(self.results.payload), depth=self.depth_words)
        m.d.comb += [
            fifo.w_data.eq(self.results.payload),
            fifo.w_en.eq(self.results.valid),
            self.results.ready.eq(fifo.w_rdy),
        ]
        sent, due = Signal(), Signal(range(self.burst_words + 1))  # words of the burst under way
        sending = Signal()  # due is not zero
        self._serialise(m, fifo, sending, sent)
        self._request(m, fifo, due, sending, sent)
        return m

    def _serialise(self, m: Module, fifo: SyncFIFOBuffered, sending: Signal, sent: Signal) -> None:
        """Beats of the word at the head of the FIFO, lowest first; ``sent`` when its last one goes."""
        beat = Signal(range(max(2, self.word_beats)))
        final = Signal(init=self.word_beats == 1)  # the beat is the last one of its word
        m.d.comb += [
            self.data.payload.eq(fifo.r_data.word_select(beat, DATA_BITS)),
            self.data.valid.eq(sending & fifo.r_rdy),
            sent.eq(self.data.valid & self.data.ready & final),
            fifo.r_en.eq(sending & self.data.ready & final),  # the FIFO itself looks whether it has a word
        ]
        with m.If(sent):
            m.d.sync += [beat.eq(0), final.eq(self.word_beats == 1)]
        with m.Elif(self.data.valid & self.data.ready):
            m.d.sync += [beat.eq(beat + 1), final.eq(beat == self.word_beats - 2)]

    def _request(self, m: Module, fifo: SyncFIFOBuffered, due: Signal, sending: Signal, sent: Signal) -> None:
        """Bursts of whole words, requested when the FIFO holds them."""
        parts = fields(Opcode.STORE, self.word)
        left = Signal.like(parts["beats"])  # words that are not requested yet
        address, size = Signal(64), Signal.like(due)
        held = Signal(range(self.depth_words + 2))  # words in the FIFO; one that has just left may count
        last_due = Signal()  # due is one
        begins, ends = Signal(), Signal()  # a burst
        m.d.comb += ends.eq(sent & last_due)
        m.d.sync += sending.eq(begins | (sending & ~ends))
        left_fifo = Signal()  # a word was sent in the cycle before: REQUEST comes two cycles later at the earliest
        m.d.sync += [left_fifo.eq(sent), held.eq(held + (fifo.w_en & fifo.w_rdy) - left_fifo)]
        m.d.comb += [
            self.command.payload.address.eq(address),
            self.command.payload.beats.eq(size * self.word_beats),
        ]
        m.d.sync += size.eq(Mux(left < self.burst_words, left, self.burst_words))
        refused = Signal()
        m.d.sync += refused.eq((self.result_bytes != 0) & (parts["beats"] > self.result_bytes >> BEAT_BYTES_LOG2))
        with m.FSM(name="store") as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += [address.eq(self.result), left.eq(parts["beats"] >> (self.word_beats - 1).bit_length())]
                with m.If(self.start):
                    m.next = "SIZE"
            with m.State("SIZE"):
                m.d.comb += self.too_long.eq(refused)
                with m.If((left == 0) | refused):
                    m.next = "WAIT"
                with m.Else():
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += self.command.valid.eq(held >= size)
                m.d.comb += begins.eq(self.command.valid & self.command.ready)
                with m.If(begins):
                    m.d.sync += [due.eq(size), last_due.eq(size == 1), left.eq(left - size)]
                    m.d.sync += address.eq(address + (self.command.payload.beats << BEAT_BYTES_LOG2))
                    m.next = "SEND"
            with m.State("SEND"):
                with m.If(sent):
                    m.d.sync += [due.eq(due - 1), last_due.eq(due == 2)]
                with m.If(ends):
                    m.next = "SIZE"
            with m.State("WAIT"):
                with m.If(~self.engine_busy):
                    m.next = "IDLE"
