"""The memory of hwgen_bench: a file that the DDR model (sim/hdl) maps, and how the model behaves."""

from dataclasses import dataclass
from pathlib import Path

from sim.job import MEMORY_FILE
from sim.options import MEMORY_BASE, DdrSettings, check_stall

STALL_CYCLES = 256  # stalls are counted in so many cycles


@dataclass(frozen=True, kw_only=True)
class BenchMemory:
    """Memory of one simulation; ValueError unless ``stall`` is in [0, 1)."""

    memory_bytes: int
    ddr: DdrSettings = DdrSettings()  # noqa: RUF009 (frozen)
    stall: float = 0.0  # share of cycles in which each AXI channel is held back at random
    seed: int = 1  # of the stalls
    address: int = MEMORY_BASE  # where the accelerator sees it

    def __post_init__(self) -> None:
        """Refuse stalls that never end."""
        check_stall(self.stall)

    def create(self, folder: Path) -> None:
        """Make the file, zeros only, for a simulation in ``folder``."""
        with (folder / MEMORY_FILE).open("wb") as handle:
            handle.truncate(self.memory_bytes)

    def plusargs(self) -> dict[str, int | str]:
        """Arguments of hwgen_bench."""
        return {
            **self.ddr.plusargs(),
            "stall": round(self.stall * STALL_CYCLES),
            "seed": self.seed,
            "memory_base": self.address,
            "memory": MEMORY_FILE,
        }
