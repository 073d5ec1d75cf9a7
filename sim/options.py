"""How a simulation runs: memory behaviour, stalls, traces, limits, and where files go."""

from dataclasses import dataclass, field
from pathlib import Path

from hwgen.driver.device import DEFAULT_WATCHDOG_CYCLES
from hwgen.spec.board import Board
from hwgen.store.cache import kind_folder

RATE_FRACTION_BITS = 8


@dataclass(frozen=True, kw_only=True)
class DdrSettings:
    """What the memory model can do; cycles are of the accelerator's clock."""

    latency_cycles: int = 100
    bytes_per_cycle: float = 0.0  # all ports together; 0: no limit
    refresh_interval_cycles: int = 0  # 0: no gaps
    refresh_cycles: int = 0
    read_commands: int = 0  # bursts of reads that a port takes; 0: no limit
    read_buffer_beats: int = 0  # data of reads that a port holds; 0: no limit

    @classmethod
    def from_board(cls, board: Board) -> "DdrSettings":
        """The memory that a board file describes."""
        return cls(
            latency_cycles=board.ddr.read_latency_cycles,
            bytes_per_cycle=board.bytes_per_cycle,
            refresh_interval_cycles=board.ddr.refresh_interval_cycles,
            refresh_cycles=board.ddr.refresh_cycles,
            read_commands=board.axi.read_commands,
            read_buffer_beats=board.axi.read_buffer_beats,
        )

    def plusargs(self) -> dict[str, int]:
        """Arguments of hwgen_bench."""
        return {
            "latency": self.latency_cycles,
            "rate": round(self.bytes_per_cycle * 2**RATE_FRACTION_BITS),
            "refresh_interval": self.refresh_interval_cycles,
            "refresh_cycles": self.refresh_cycles,
            "read_commands": self.read_commands,
            "read_buffer": self.read_buffer_beats,
        }


@dataclass(frozen=True, kw_only=True)
class ErrorRange:
    """Memory that answers with SLVERR during one run: byte offset and size."""

    offset: int
    size: int


MEMORY_BASE = 0x8_0000_0000  # above 4 GB, so that all 64 bits of an address matter
CHANNELS = ("ar", "r", "aw", "w", "b")  # of a port, in the order of the bits of channels_t in hwgen_ddr_memory.sv
FOR_EVER = 1 << 62  # cycles


@dataclass(frozen=True, kw_only=True)
class Silence:
    """A port that neither takes nor gives anything on some channels for a while; later runs may fall into it."""

    port: int
    channels: tuple[str, ...]  # of CHANNELS
    after_cycles: int  # from the beginning of the run, host accesses included
    cycles: int = FOR_EVER

    def __post_init__(self) -> None:
        """Refuse channels that do not exist."""
        if not self.channels or set(self.channels) - set(CHANNELS):
            raise ValueError(f"channels {self.channels} must be some of {CHANNELS}")


def check_stall(share: float) -> None:
    """ValueError unless stalls take a share of the cycles that leaves some."""
    if not 0.0 <= share < 1.0:
        raise ValueError(f"stall {share} must be a share of cycles in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class SimOptions:
    """Everything that may differ between two simulations of the same Verilog."""

    build_root: Path = field(default_factory=lambda: kind_folder("simulators"))  # cached by content
    folder: Path | None = None  # files of the run stay here; None: a folder that is removed afterwards
    trace: bool = True  # record what the comparison needs
    waves: bool = False  # dump.vcd in the folder
    stall: float = 0.0  # share of cycles in which each AXI channel is held back at random
    seed: int = 1  # of the stalls
    watchdog_cycles: int = DEFAULT_WATCHDOG_CYCLES
    memory_base: int = MEMORY_BASE  # where the accelerator sees the memory
    error_ranges: dict[int, ErrorRange] | None = None  # by index of the run
    silences: dict[int, Silence] | None = None  # by index of the run
    resets: frozenset[int] = frozenset()  # runs before which ap_rst_n is pulsed, with the memory; this ends a silence
    errors_are_results: bool = False  # record machine errors and conflicts instead of raising the first one
    seconds: float = 3600  # wall-clock limit

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        check_stall(self.stall)
        if self.waves and self.folder is None:
            raise ValueError("waves need a folder to stay in")
