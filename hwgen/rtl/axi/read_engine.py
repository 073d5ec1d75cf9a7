"""Read engine: turns (address, beats) into AXI4 read bursts and a stream of beats."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.burst_planner import BurstPlanner
from hwgen.rtl.axi.burst_tracker import BurstTracker
from hwgen.rtl.axi.bus import DATA_BITS, OKAY, axi4_read, burst_command, drive_constants
from hwgen.spec.arch import ArchConfig


class ReadEngine(wiring.Component):
    """Reads transfers in order, bursts within 4 KB pages, up to ``arch.outstanding`` of them in flight.

    Members
    -------
    command: In(stream of burst_command); a transfer of zero beats is taken and does nothing.
    beats: Out(stream of 128 bits), the data of all transfers, in order; AXI waits when the reader waits.
    bus: Out(axi4_read).
    halt: In(1), no new bursts; a request that is out stays out until it is taken, data of bursts in flight is accepted
        and dropped, the rest of a transfer is forgotten. The engine works again as soon as ``halt`` is low.
    busy: Out(1), a transfer is being issued or data is outstanding.
    error: Out(1), a pulse for every beat whose response is not OKAY, or whose RLAST is not where its burst ends, or
        that nobody asked for (it is delivered all the same).
    beat: Out(1), a pulse for every beat that came, for the counters.

    Timing
    ------
    command_latency = 2: cycles from a taken command to ``arvalid``. burst_interval = 2: cycles from one burst of a
    transfer to the next when ``arready`` is high; so one beat a cycle for transfers of three beats and more.
    ``beats`` adds no cycle; ``error`` and ``beat`` come one later.

    An engine is reset with its bus and by nothing else (``on_bus`` in hwgen/rtl/axi/bus.py): it alone knows which
    answers are still owed.
    """

    command_latency = 2
    burst_interval = 2

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "command": In(stream.Signature(burst_command())),
                "beats": Out(stream.Signature(DATA_BITS)),
                "bus": Out(axi4_read()),
                "halt": In(1),
                "busy": Out(1),
                "error": Out(1),
                "beat": Out(1),
            }
        )
        self._arch = arch

    def elaborate(self, platform: object) -> Module:
        """Requests on one side, data on the other; the count of bursts in flight joins them."""
        m = Module()
        planned, finished, issuing = Signal(), Signal(), Signal()
        in_flight = Signal(range(self._arch.outstanding + 1))
        m.d.sync += in_flight.eq(in_flight + planned - finished)
        m.d.comb += self.busy.eq(issuing | (in_flight != 0))
        m.submodules.tracker = tracker = BurstTracker(self._arch.burst_beats, self._arch.outstanding)
        m.d.sync += tracker.put.eq(planned)
        self._requests(m, planned, issuing, in_flight != self._arch.outstanding)
        self._data(m, tracker, finished)
        return m

    def _requests(self, m: Module, planned: Signal, issuing: Signal, room: Value) -> None:
        m.submodules.planner = planner = BurstPlanner(self._arch)
        drive_constants(m, self.bus, "r")
        m.d.comb += [
            planner.command.eq(self.command.payload),
            self.bus.araddr.eq(planner.address),
            self.bus.arlen.eq(planner.length_less_one),
        ]
        with m.FSM(name="request"):
            with m.State("IDLE"):
                m.d.comb += [self.command.ready.eq(~self.halt), planner.load.eq(1)]
                with m.If(self.command.valid & ~self.halt):
                    m.next = "PLAN"
            with m.State("PLAN"):
                m.d.comb += issuing.eq(1)
                with m.If(self.halt | planner.empty):
                    m.next = "IDLE"
                with m.Elif(room):
                    m.d.comb += [planner.plan.eq(1), planned.eq(1)]
                    m.next = "ISSUE"
            with m.State("ISSUE"):  # the burst is under way: its request stays until it is taken
                m.d.comb += [issuing.eq(1), self.bus.arvalid.eq(1)]
                with m.If(self.bus.arready):
                    m.d.comb += planner.advance.eq(1)
                    with m.If(planner.last | self.halt):
                        m.next = "IDLE"
                    with m.Else():
                        m.next = "PLAN"

    def _data(self, m: Module, tracker: BurstTracker, finished: Signal) -> None:
        bus, beats = self.bus, self.beats
        taken = Signal()
        wrong = Signal()  # the beat is not what was asked for
        m.d.comb += [
            tracker.requester.eq(1),
            tracker.length_less_one.eq(bus.arlen),
            tracker.take.eq(taken),
            wrong.eq((bus.rresp != OKAY) | ~tracker.owner | (bus.rlast != tracker.last)),
            beats.payload.eq(bus.rdata),
            beats.valid.eq(bus.rvalid & ~self.halt),
            bus.rready.eq(beats.ready | self.halt),
            taken.eq(bus.rvalid & bus.rready),
            finished.eq(taken & tracker.owner & tracker.last),
        ]
        m.d.sync += [self.beat.eq(taken), self.error.eq(taken & wrong)]
