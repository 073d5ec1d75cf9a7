"""The clock of the machine in a simulation."""

from amaranth.sim import Simulator

from hwgen.rtl.axi.bus import BUS_DOMAIN

PERIOD = 1e-6


def add_clock(simulator: Simulator) -> None:
    """Drive every domain of the design from one clock."""
    simulator.add_clock(PERIOD)
    simulator.add_clock(PERIOD, domain=BUS_DOMAIN, if_exists=True)
