"""Port reader: one AXI port of the weight loader; knows which ring every beat belongs to."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.rtl.axi.bus import DATA_BITS, axi4_read, burst_command, on_bus
from hwgen.rtl.axi.read_engine import ReadEngine
from hwgen.spec.arch import ArchConfig
from hwgen.spec.choices import COMMANDS_AHEAD

RINGS = 3  # norm, param, weight


def chunk_layout() -> data.StructLayout:
    """A contiguous piece of one load: ``beats`` for ring ``ring``; ``end`` marks the end of a load and has no beats."""
    return data.StructLayout({"address": 64, "beats": 8, "ring": 2, "end": 1})


class PortReader(wiring.Component):
    """Reads chunks in order and routes their beats to the rings.

    Members
    -------
    push: In(1), take ``chunk``; only while ``room`` is high. chunk: In(chunk_layout).
    room: Out(1), a cycle late: low in the cycle after a push.
    valid: Out(3), one per ring; data: Out(128). ended: Out(1), pulse, all beats before an end marker have come.
    bus: Out(axi4_read). halt, busy, error, beat: as in ReadEngine. empty: Out(1), nothing is under way.

    Timing: data passes through in the same cycle; one beat a cycle; an end marker takes one cycle. A route is known two
    cycles after its push.
    """

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "push": In(1),
                "chunk": In(chunk_layout()),
                "room": Out(1),
                "valid": Out(RINGS),
                "data": Out(DATA_BITS),
                "ended": Out(1),
                "bus": Out(axi4_read()),
                "halt": In(1),
                "busy": Out(1),
                "error": Out(1),
                "beat": Out(1),
                "empty": Out(1),
            }
        )
        self._arch = arch

    def elaborate(self, platform: object) -> Module:
        """A queue of commands before the engine, a queue of routes beside it."""
        m = Module()
        engine = ReadEngine(self._arch)
        m.submodules.engine = on_bus(engine)
        m.submodules.commands = commands = SyncFIFO(width=burst_command().size, depth=COMMANDS_AHEAD)
        route = data.StructLayout({"beats": 8, "ring": 2, "end": 1})
        depth = self._arch.outstanding + COMMANDS_AHEAD + 2
        m.submodules.routes = routes = SyncFIFO(width=route.size, depth=depth)
        connect(m, engine.bus, flipped(self.bus))
        chunk, command, new = self.chunk, Signal(burst_command()), Signal(route)
        m.d.comb += [
            command.address.eq(chunk.address),
            command.beats.eq(chunk.beats),
            commands.w_data.eq(command),
            commands.w_en.eq(self.push & ~chunk.end),
            new.beats.eq(chunk.beats),
            new.ring.eq(chunk.ring),
            new.end.eq(chunk.end),
            routes.w_data.eq(new),
            routes.w_en.eq(self.push),
            engine.command.payload.as_value().eq(commands.r_data),
            engine.command.valid.eq(commands.r_rdy),
            commands.r_en.eq(engine.command.ready),
            engine.halt.eq(self.halt),
            self.busy.eq(engine.busy),
            self.error.eq(engine.error),
            self.beat.eq(engine.beat),
        ]
        m.d.sync += self.room.eq(commands.w_rdy & routes.w_rdy & ~self.push)
        self._route(m, engine, routes, data.View(route, routes.r_data))
        return m

    def _route(self, m: Module, engine: ReadEngine, routes: SyncFIFO, new: data.View) -> None:
        """Beats go to the ring of the oldest route until it has all of them; the next one follows at once."""
        active, ended, ring, left, last = Signal(), Signal(), Signal(RINGS), Signal(8), Signal()
        beat, following = Signal(), Signal()
        m.d.comb += [
            self.data.eq(engine.beats.payload),
            engine.beats.ready.eq(active),
            beat.eq(active & engine.beats.valid),
            self.valid.eq(ring & beat.replicate(RINGS)),
            self.ended.eq(ended),
            following.eq(~active | (beat & last)),
            routes.r_en.eq(following),
            self.empty.eq(~active & ~ended & ~routes.r_rdy),
        ]
        with m.If(following):
            m.d.sync += [
                active.eq(routes.r_rdy & ~new.end),
                ended.eq(routes.r_rdy & new.end),
                ring.eq(1 << new.ring),
                left.eq(new.beats - 1),
                last.eq(new.beats == 1),
            ]
        with m.Else():
            m.d.sync += ended.eq(0)
            with m.If(beat):
                m.d.sync += [left.eq(left - 1), last.eq(left == 1)]
