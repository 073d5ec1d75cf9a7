"""Patch gather: LOAD_PATCHES, rows of pixels from memory to patch rows in the activation buffer."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.bus import DATA_BITS, burst_command
from hwgen.rtl.lib.decode import fields
from hwgen.rtl.lib.interfaces import WORD_ADDRESS_BITS, progress_pulse
from hwgen.rtl.lib.loop_counter import LoopCounter
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Counter, Opcode

LANE_BYTES = 8  # pixels that are written together; half a beat


def lane_write_port(output_lanes: int) -> wiring.Signature:
    """A write port of int8 words with one enable per eight bytes."""
    return wiring.Signature(
        {
            "enable": Out(output_lanes // LANE_BYTES),
            "address": Out(WORD_ADDRESS_BITS),
            "data": Out(8 * output_lanes),
        }
    )


def centred(pixels: Value) -> Value:
    """int8 codes of eight-bit pixels: ``max(p - 128, -127)``."""
    values = [pixels[at : at + 8] for at in range(0, len(pixels), 8)]
    return Cat(*(Mux(value == 0, 0x81, value ^ 0x80) for value in values))


def _piece() -> data.StructLayout:
    """Pixels on their way: one lane, or two when ``wide``; the last ones of their beat."""
    return data.StructLayout({"valid": 1, "wide": 1, "beat_ends": 1, "low": 64, "high": 64})


def _destination() -> data.StructLayout:
    """Where the piece belongs: base address of the patch row, position in it in lanes; it ends a band, or all."""
    return data.StructLayout({"row": 17, "position": 13, "band_ends": 1, "ends": 1})


class PatchGather(wiring.Component):
    """Cuts image rows into runs of ``patch`` pixels; the run of column px goes to row px of the band, run after run.

    Members
    -------
    start: In(1), pulse, while idle. word: In(256), the instruction, stable until not busy. image: In(64).
    command: Out(stream of burst_command), beats: In(stream of 128 bits): read engine, one transfer per plane of a band.
    activation: Out(lane_write_port(Po)). progress: Out(progress_pulse), PATCH, with the last write of a band.
    busy: Out(1). overflow: Out(1), pulse: an address past the end of the buffer, and nothing is written from there on;
        or a patch side that is no multiple of 8, and nothing is loaded.

    Timing
    ------
    A beat takes one cycle when patches are multiples of 16 pixels and words at least 16 bytes, else two.
    ``write_latency`` = 2 cycles from a beat to its write.
    """

    write_latency = 2

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "start": In(1),
                "word": In(256),
                "image": In(64),
                "command": Out(stream.Signature(burst_command())),
                "beats": In(stream.Signature(DATA_BITS)),
                "activation": Out(lane_write_port(arch.output_lanes)),
                "progress": Out(progress_pulse()),
                "busy": Out(1),
                "overflow": Out(1),
            }
        )
        self._lanes = arch.output_lanes // LANE_BYTES
        self._depth = arch.activation_words

    def cycles_per_beat(self, patch: int) -> int:
        """Cycles that one beat of 16 pixels takes."""
        return 1 if patch % 16 == 0 and self._lanes > 1 else 2

    def elaborate(self, platform: object) -> Module:
        """Requests run ahead; data is cut by nested counters; writes follow two registers later."""
        m = Module()
        parts = fields(Opcode.LOAD_PATCHES, self.word)
        piece, at = Signal(_piece()), Signal(_destination())
        sized, receiving = Signal(), Signal()  # the transfer size is known; data is cut, in RECEIVE
        band_beats = Signal(14)
        m.d.sync += band_beats.eq(parts["patch"] * (parts["width"] >> 4))
        misshapen, nothing = Signal(), Signal()  # nothing to load: a factor of the loops is zero, or misshapen
        loops = [parts["patch"], parts["width"] >> 4, parts["patch_rows"], parts["channels"]]
        m.d.sync += nothing.eq(Cat(turns == 0 for turns in loops).any() | (parts["patch"][:3] != 0))
        with m.FSM(name="gather") as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                with m.If(self.start):
                    m.next = "MULTIPLY"
            with m.State("MULTIPLY"):
                m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += [misshapen.eq(parts["patch"][:3] != 0), sized.eq(~nothing)]
                with m.If(nothing):
                    m.next = "IDLE"
                with m.Else():
                    m.d.sync += receiving.eq(1)
                    m.next = "RECEIVE"
            with m.State("RECEIVE"):
                with m.If(piece.valid & at.ends):
                    m.d.sync += receiving.eq(0)
                    m.next = "FLUSH"
            with m.State("FLUSH"):
                m.next = "IDLE"
        self._request(m, parts, sized, band_beats)
        self._cut(m, parts["patch"], receiving, piece)
        self._place(m, parts, piece, at)
        self._write(m, parts["patch_columns"], piece, at, misshapen)
        return m

    def _request(self, m: Module, parts: dict[str, Value], sized: Signal, band_beats: Signal) -> None:
        """One transfer per band and plane, as fast as the engine takes them."""
        band, plane = Signal(64), Signal(64)
        next_band = Signal(64)
        bands, channel = Signal.like(parts["patch_rows"]), Signal.like(parts["channels"])
        m.d.comb += [
            next_band.eq(band + (band_beats << 4)),
            self.command.payload.address.eq(plane),
            self.command.payload.beats.eq(band_beats),
        ]
        with m.FSM(name="request"):
            with m.State("IDLE"):
                m.d.sync += [band.eq(self.image), plane.eq(self.image), bands.eq(parts["patch_rows"]), channel.eq(1)]
                with m.If(sized):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.command.valid.eq(1)
                with m.If(self.command.ready):
                    with m.If(channel != parts["channels"]):
                        m.d.sync += [channel.eq(channel + 1), plane.eq(plane + parts["plane_bytes"])]
                    with m.Else():
                        m.d.sync += [channel.eq(1), plane.eq(next_band), band.eq(next_band), bands.eq(bands - 1)]
                        with m.If(bands == 1):
                            m.next = "IDLE"

    def _cut(self, m: Module, patch: Value, receiving: Signal, piece: data.View) -> None:
        """Half a beat, or a whole one, a cycle: its pixels, centred, become the piece."""
        half, step = Signal(), Signal()
        low, high = self.beats.payload[:64], self.beats.payload[64:]
        wide = ~patch[3] if self._lanes > 1 else Const(0)
        m.d.comb += [
            step.eq(receiving & self.beats.valid),
            self.beats.ready.eq(receiving & (piece.wide | half)),  # wide is the same for all pieces
        ]
        m.d.sync += [
            piece.valid.eq(step),
            piece.wide.eq(wide),
            piece.beat_ends.eq(wide | half),
            piece.low.eq(centred(Mux(wide | ~half, low, high))),
            piece.high.eq(centred(high)),
        ]
        with m.If(self.start):
            m.d.sync += half.eq(0)
        with m.Elif(step):
            m.d.sync += half.eq(~half & ~wide)

    def _place(self, m: Module, parts: dict[str, Value], piece: data.View, at: data.View) -> None:
        """Loops from the innermost out: place in the run, beat of the image row, line, plane, band."""
        beat = LoopCounter(m, parts["width"][4:], "beat")
        line = LoopCounter(m, parts["patch"], "line")
        channel = LoopCounter(m, parts["channels"], "channel")
        band = LoopCounter(m, parts["patch_rows"], "band")
        place, last_place = Signal(4), Signal(4)  # in the run, in lanes
        offset, next_offset = Signal(13), Signal(13)  # of the run in the patch row, in lanes
        row, position, band_row, next_row = Signal(17), Signal(13), Signal(17), Signal(17)
        run_ends, line_ends, plane_ends, band_ends = (Signal() for _ in range(4))
        lanes_a_run = parts["patch"] >> 3
        m.d.sync += last_place.eq(lanes_a_run - 1 - piece.wide)
        m.d.comb += [
            run_ends.eq(place == last_place),
            line_ends.eq(piece.beat_ends & beat.at_last),
            plane_ends.eq(line_ends & line.at_last),
            band_ends.eq(plane_ends & channel.at_last),
            next_row.eq(row + parts["dst_stride"]),
            next_offset.eq(offset + lanes_a_run),
            Cat(at.row, at.position, at.band_ends).eq(Cat(row, position, band_ends)),
            at.ends.eq(band_ends & band.at_last),
        ]
        with m.If(self.start):
            m.d.sync += [x.eq(0) for x in (place, offset, position)]
            m.d.sync += [row.eq(parts["dst_base"]), band_row.eq(parts["dst_base"])]
            for loop in (beat, line, channel, band):
                loop.restart()
        with m.Elif(piece.valid):
            m.d.sync += [place.eq(place + 1 + piece.wide), position.eq(position + 1 + piece.wide)]
            with m.If(piece.beat_ends):
                beat.step()
            with m.If(run_ends):
                m.d.sync += [place.eq(0), position.eq(offset), row.eq(next_row)]
            with m.If(line_ends):
                m.d.sync += [place.eq(0), offset.eq(next_offset), position.eq(next_offset), row.eq(band_row)]
                line.step()
            with m.If(plane_ends):
                channel.step()
            with m.If(band_ends):
                m.d.sync += [offset.eq(0), position.eq(0), row.eq(next_row), band_row.eq(next_row)]
                band.step()

    def _write(self, m: Module, columns: Value, piece: data.View, at: data.View, misshapen: Signal) -> None:
        """Word address, lane enables, bounds and progress of a piece."""
        address, bad, stopped = Signal(18), Signal(), Signal()
        shift = (self._lanes - 1).bit_length()
        lane = at.position[:shift]
        enables = Signal(self._lanes)
        m.d.comb += [
            address.eq(at.row + (at.position >> shift)),
            bad.eq(piece.valid & (address >= self._depth)),
            enables.eq(Mux(piece.wide, 3, 1) << lane if shift else 1),
            self.progress.counter.eq(Counter.PATCH),
        ]
        high = Mux(piece.wide, piece.high, piece.low)
        pixels = [high if index % 2 else piece.low for index in range(self._lanes)]
        m.d.sync += [
            self.activation.enable.eq(Mux(piece.valid & ~bad & ~stopped, enables, 0)),
            self.activation.address.eq(address),
            self.activation.data.eq(Cat(*pixels)),
            self.overflow.eq((bad & ~stopped) | misshapen),
            self.progress.valid.eq(piece.valid & at.band_ends),
            self.progress.count.eq(columns),
        ]
        with m.If(self.start):
            m.d.sync += stopped.eq(0)
        with m.Elif(bad):
            m.d.sync += stopped.eq(1)
