"""Write engine: turns (address, beats) and a stream of beats into AXI4 write bursts."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.burst_planner import BurstPlanner
from hwgen.rtl.axi.bus import DATA_BITS, OKAY, axi4_write, burst_command, drive_constants
from hwgen.spec.arch import ArchConfig


class WriteEngine(wiring.Component):
    """Writes transfers in order, bursts within 4 KB pages, up to ``arch.outstanding`` unanswered.

    Members
    -------
    command: In(stream of burst_command); a transfer of zero beats is taken and does nothing. Whoever commands
        guarantees that the data follows without waiting for anything else.
    data: In(stream of 128 bits), the data of all transfers, in order.
    bus: Out(axi4_write).
    halt: In(1), no new bursts; a burst already issued stays issued and ends with beats of zero strobes, the rest of a
        transfer is forgotten. The engine works again as soon as ``halt`` is low.
    busy: Out(1), until the last response of everything commanded has come.
    error: Out(1), a pulse for every response that is not OKAY or that nobody waits for.
    beat: Out(1), a pulse for every beat that went.

    Timing
    ------
    command_latency = 2: cycles from a taken command to ``awvalid``; the first beat follows one cycle later.
    burst_overhead = 1: a burst of n beats takes n + 1 cycles when nothing stalls.

    Reset with its bus and by nothing else, as ReadEngine.
    """

    command_latency = 2
    burst_overhead = 1

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "command": In(stream.Signature(burst_command())),
                "data": In(stream.Signature(DATA_BITS)),
                "bus": Out(axi4_write()),
                "halt": In(1),
                "busy": Out(1),
                "error": Out(1),
                "beat": Out(1),
            }
        )
        self._arch = arch

    def elaborate(self, platform: object) -> Module:
        """Requests, data register and responses; the count of unanswered bursts joins them."""
        m = Module()
        planned, issuing, complete = Signal(), Signal(), Signal()
        unanswered = Signal(range(self._arch.outstanding + 1))
        answer, owed = Signal(), Signal()
        m.d.comb += [answer.eq(self.bus.bvalid & self.bus.bready), owed.eq(unanswered != 0)]
        m.d.sync += unanswered.eq(unanswered + planned - (answer & owed))
        m.d.comb += self.busy.eq(issuing | self.bus.wvalid | owed)
        self._requests(m, planned, issuing, complete, unanswered != self._arch.outstanding)
        self._data(m, planned, complete)
        m.d.comb += self.bus.bready.eq(1)
        m.d.sync += self.error.eq(answer & ((self.bus.bresp != OKAY) | ~owed))
        return m

    def _requests(self, m: Module, planned: Signal, issuing: Signal, complete: Signal, room: Value) -> None:
        """IDLE, then PLAN and BURST for every burst; a burst ends when its address and its beats have gone."""
        m.submodules.planner = planner = BurstPlanner(self._arch)
        drive_constants(m, self.bus, "w")
        m.d.comb += [
            planner.command.eq(self.command.payload),
            self.bus.awaddr.eq(planner.address),
            self.bus.awlen.eq(planner.length_less_one),
        ]
        addressed = Signal()  # the burst's address has been taken
        with m.FSM(name="request"):
            with m.State("IDLE"):
                m.d.comb += [self.command.ready.eq(~self.halt), planner.load.eq(1)]
                with m.If(self.command.valid & ~self.halt):
                    m.next = "PLAN"
            with m.State("PLAN"):
                m.d.comb += issuing.eq(1)
                m.d.sync += addressed.eq(0)
                with m.If(self.halt | planner.empty):
                    m.next = "IDLE"
                with m.Elif(room):
                    m.d.comb += [planner.plan.eq(1), planned.eq(1)]
                    m.next = "BURST"
            with m.State("BURST"):
                m.d.comb += [issuing.eq(1), self.bus.awvalid.eq(~addressed)]
                m.d.sync += addressed.eq(addressed | self.bus.awready)
                with m.If(complete & (addressed | self.bus.awready)):
                    m.d.comb += planner.advance.eq(1)
                    with m.If(planner.last | self.halt):
                        m.next = "IDLE"
                    with m.Else():
                        m.next = "PLAN"

    def _data(self, m: Module, planned: Signal, complete: Signal) -> None:
        """The data register: payload is stable until taken, also when a halt comes in between."""
        bus = self.bus
        last_index = m.submodules.planner.length_less_one
        index = Signal(8)  # of the beat that is filled next
        moving = Signal()  # a burst whose last beat has not been in the register yet
        fill, last = Signal(), Signal()
        m.d.comb += [
            last.eq(index == last_index),
            self.data.ready.eq(moving & (~bus.wvalid | bus.wready) & ~self.halt),
            fill.eq(moving & (~bus.wvalid | bus.wready) & (self.data.valid | self.halt)),
            complete.eq(~moving | (fill & last)),
        ]
        with m.If(fill):
            m.d.sync += [
                bus.wvalid.eq(1),
                bus.wdata.eq(Mux(self.halt, 0, self.data.payload)),
                bus.wstrb.eq(Mux(self.halt, 0, -1)),
                bus.wlast.eq(last),
                index.eq(index + 1),
                moving.eq(~last),
            ]
        with m.Elif(bus.wready):
            m.d.sync += bus.wvalid.eq(0)
        with m.If(planned):
            m.d.sync += [index.eq(0), moving.eq(1)]
        m.d.sync += self.beat.eq(bus.wvalid & bus.wready)
