"""Scoreboard: the progress counters by which units wait for each other's rows."""

from amaranth.hdl import Module, Mux
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import COUNTER_BITS, PROGRESS_COUNTERS, progress_pulse


class Scoreboard(wiring.Component):
    """Counts finished rows per progress counter, modulo 2^16.

    Parameters
    ----------
    sources: number of units that report progress.

    Members
    -------
    pulses[i]: In(progress_pulse), report of unit i; several may come in one cycle, even for one counter.
    counters: Out(16 x 16 bits), indexed by ``Counter`` (and ``EXPERT_HIDDEN``).

    Timing: ``latency`` = 1, a pulse in cycle t shows in ``counters`` in cycle t + 1.
    """

    latency = 1

    def __init__(self, sources: int) -> None:
        super().__init__(
            {
                "pulses": In(progress_pulse()).array(sources),
                "counters": Out(data.ArrayLayout(COUNTER_BITS, PROGRESS_COUNTERS)),
            }
        )
        self._sources = sources

    def elaborate(self, platform: object) -> Module:
        """One adder per counter."""
        m = Module()
        for index in range(1, PROGRESS_COUNTERS):
            total = self.counters[index]
            for source in range(self._sources):
                pulse = self.pulses[source]
                total = total + Mux(pulse.valid & (pulse.counter == index), pulse.count, 0)
            m.d.sync += self.counters[index].eq(total)
        return m
