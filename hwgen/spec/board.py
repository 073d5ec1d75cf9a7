"""What board: part, clock, resources, AXI ports and DDR of one board, each figure with its source."""

from dataclasses import dataclass, fields
from typing import Annotated

from hwgen.spec.limits import Limits, refuse
from hwgen.spec.shown import nearest


def _names(record: type) -> list[str]:
    return [item.name for item in fields(record)]


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the part offers."""

    lut: Annotated[int, Limits(1)]
    ff: Annotated[int, Limits(1)]
    bram36: Annotated[int, Limits(0)]  # block RAMs of 36 Kbit
    uram: Annotated[int, Limits(0)]  # UltraRAMs of 288 Kbit
    dsp: Annotated[int, Limits(0)]  # DSP48 slices


@dataclass(frozen=True, kw_only=True)
class AxiPorts:
    """AXI ports from the fabric to DDR."""

    ports: Annotated[int, Limits(2)]  # weight ports and the port of program, tables, image and result
    data_bits: Annotated[int, Limits(128, 128)]  # this generator speaks 128 bits
    read_commands: Annotated[int, Limits(0)] = 0  # bursts of reads that a port takes at a time; 0: no limit is known
    read_buffer_beats: Annotated[int, Limits(0)] = 0  # data of reads that a port holds; 0: no limit is known


@dataclass(frozen=True, kw_only=True)
class Ddr:
    """DDR as the simulation models it; cycles are of the accelerator's clock."""

    peak_gb_per_s: Annotated[float, Limits(0, 10_000, above=True)]  # 10^9 bytes per second
    efficiency: Annotated[float, Limits(0, 1, above=True)] = 0.8  # share of the peak that reads and writes get
    read_latency_cycles: Annotated[int, Limits(100)]  # from address to first data
    refresh_interval_cycles: Annotated[int, Limits(1)]  # a gap starts every so many cycles
    refresh_cycles: Annotated[int, Limits(0)]  # length of the gap

    def __post_init__(self) -> None:
        """Refuse figures that cannot be."""
        refuse(self)
        if self.refresh_cycles >= self.refresh_interval_cycles:
            raise ValueError(
                f"ddr.refresh_cycles {self.refresh_cycles} must be below"
                f" ddr.refresh_interval_cycles {self.refresh_interval_cycles}"
            )


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board; ``sources`` says for each figure where it comes from."""

    name: str
    title: str  # how people call it
    part: str  # full part number, as Vivado names it
    clock_mhz: Annotated[float, Limits(0, 1000, above=True)]
    arch: str  # preset that fits the board
    resources: Resources
    axi: AxiPorts
    ddr: Ddr
    sources: dict[str, str]  # key (``part``, ``ddr.peak_gb_per_s``, ``resources`` ...) -> where the figure comes from

    def __post_init__(self) -> None:
        """Refuse figures that cannot be."""
        refuse(self)
        figures = {"part", "clock_mhz", "resources", "axi"} | {f"ddr.{key}" for key in _names(Ddr)}
        for key in self.sources:
            if key not in figures:
                raise ValueError(f"unknown key 'sources.{key}'{nearest(key, sorted(figures))}")
        missing = sorted(figures - set(self.sources))
        if missing:
            raise ValueError(f"sources lacks {', '.join(missing)}; say where each figure comes from")

    @property
    def bytes_per_cycle(self) -> float:
        """DDR bytes per clock cycle at the stated efficiency, all ports together."""
        return self.ddr.peak_gb_per_s * 1e3 * self.ddr.efficiency / self.clock_mhz
