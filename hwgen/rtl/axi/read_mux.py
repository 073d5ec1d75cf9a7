"""Read multiplexer: several AXI4 readers share one port."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.burst_tracker import BurstTracker
from hwgen.rtl.axi.bus import axi4_read, drive_constants
from hwgen.spec.arch import ArchConfig


class ReadMux(wiring.Component):
    """Grants bursts round robin; responses come in order, so the queue of granted bursts says whose data it is.

    Reset with its bus and by nothing else: grants of requests that are out must not be forgotten.

    Members
    -------
    clients[i]: In(axi4_read), e.g. the bus of a ReadEngine. bus: Out(axi4_read).
    A client that does not take its data holds up the others: clients must not wait for one another.

    Timing: ``request_latency`` = 1 cycle from a client's arvalid to the bus; one burst every ``burst_interval`` = 2
    cycles; data adds none.
    """

    request_latency = 1
    burst_interval = 2

    def __init__(self, arch: ArchConfig, clients: int) -> None:
        if clients < 2:
            raise ValueError(f"a multiplexer needs at least 2 clients, got {clients}")
        super().__init__({"clients": In(axi4_read()).array(clients), "bus": Out(axi4_read())})
        self._clients = clients
        self._burst_beats = arch.burst_beats
        self._depth = arch.outstanding + 2 * (clients - 1)  # all bursts of one client and two of each other

    def elaborate(self, platform: object) -> Module:
        """A register for the granted request, and the queue of granted bursts."""
        m = Module()
        m.submodules.granted = granted = BurstTracker(self._burst_beats, self._depth, self._clients)
        self._requests(m, granted)
        self._data(m, granted)
        return m

    def _requests(self, m: Module, granted: BurstTracker) -> None:
        bus = self.bus
        drive_constants(m, bus, "r")
        latest, chosen = (Signal(range(self._clients), name=name) for name in ("latest", "chosen"))
        take = Signal()
        m.d.comb += [take.eq(~bus.arvalid & granted.room), granted.requester.eq(1 << chosen)]
        with m.Switch(latest):
            for after in range(self._clients):
                with m.Case(after):
                    for step in reversed(range(1, self._clients + 1)):
                        index = (after + step) % self._clients
                        with m.If(self.clients[index].arvalid):
                            m.d.comb += chosen.eq(index)
        with m.If(bus.arready):
            m.d.sync += bus.arvalid.eq(0)
        for index, client in enumerate(self.clients):
            with m.If(take & client.arvalid & (chosen == index)):
                m.d.comb += [client.arready.eq(1), granted.put.eq(1), granted.length_less_one.eq(client.arlen)]
                m.d.sync += [
                    bus.arvalid.eq(1),
                    bus.araddr.eq(client.araddr),
                    bus.arlen.eq(client.arlen),
                    latest.eq(index),
                ]

    def _data(self, m: Module, granted: BurstTracker) -> None:
        bus = self.bus
        ready = Cat(client.rready for client in self.clients)
        m.d.comb += granted.take.eq((ready & granted.owner).any() & bus.rvalid)
        for index, client in enumerate(self.clients):
            m.d.comb += [client.rdata.eq(bus.rdata), client.rresp.eq(bus.rresp), client.rlast.eq(bus.rlast)]
            with m.If(granted.owner[index]):
                m.d.comb += [client.rvalid.eq(bus.rvalid), bus.rready.eq(client.rready)]
