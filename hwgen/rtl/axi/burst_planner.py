"""Burst planner: how long the next AXI burst of a transfer may be."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.bus import BEAT_BYTES_LOG2, BYTE_ADDRESS_BITS, PAGE_BEATS, burst_command
from hwgen.spec.arch import ArchConfig

BEAT_ADDRESS_BITS = BYTE_ADDRESS_BITS - BEAT_BYTES_LOG2


class BurstPlanner(wiring.Component):
    """Cuts one transfer into bursts of at most ``arch.burst_beats`` beats that never cross 4 KB.

    Members
    -------
    command: In(burst_command), taken when ``load`` is high.
    load, plan, advance: In, strobes; ``plan`` sets length and ``last`` of the next burst, ``advance`` steps past it.
    address: Out(64), byte address of the burst. length_less_one: Out(8), its beats - 1.
    last: Out(1), it ends the transfer. empty: Out(1), the transfer had no beats when it was taken.

    Timing: outputs are registers; plan at least one cycle after load or advance.
    """

    def __init__(self, arch: ArchConfig) -> None:
        super().__init__(
            {
                "command": In(burst_command()),
                "load": In(1),
                "plan": In(1),
                "advance": In(1),
                "address": Out(BYTE_ADDRESS_BITS),
                "length_less_one": Out(8),
                "last": Out(1),
                "empty": Out(1),
            }
        )
        self._burst_beats = arch.burst_beats

    def elaborate(self, platform: object) -> Module:
        """A position (beat address, beats left) and the registered minimum of the three limits."""
        m = Module()
        at = Signal(BEAT_ADDRESS_BITS)
        left = Signal(24)
        length = Signal(range(self._burst_beats + 1))
        to_page = Signal(range(PAGE_BEATS + 1))
        limit = Signal.like(length)
        m.d.comb += [
            to_page.eq(PAGE_BEATS - at[:8]),
            limit.eq(Mux(to_page < self._burst_beats, to_page, self._burst_beats)),
            self.address.eq(at << BEAT_BYTES_LOG2),
        ]
        with m.If(self.load):
            m.d.sync += [at.eq(self.command.address >> BEAT_BYTES_LOG2), left.eq(self.command.beats)]
            m.d.sync += self.empty.eq(self.command.beats == 0)
        with m.Elif(self.plan):
            m.d.sync += [
                length.eq(Mux(left < limit, left, limit)),
                self.length_less_one.eq(Mux(left < limit, left - 1, limit - 1)),
                self.last.eq(left <= limit),
            ]
        with m.Elif(self.advance):
            m.d.sync += [at.eq(at + length), left.eq(left - length)]
        return m
