"""What board: part, clock, resources, AXI ports and DDR of one board, each figure with its source."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hwgen.spec.data_folder import data_folder
from hwgen.spec.shown import shown
from hwgen.spec.strict_yaml import ConfigError, nearest, read_mapping, validated


class Resources(BaseModel):
    """What the part offers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lut: int = Field(ge=1)
    ff: int = Field(ge=1)
    bram36: int = Field(ge=0)  # block RAMs of 36 Kbit
    uram: int = Field(ge=0)  # UltraRAMs of 288 Kbit
    dsp: int = Field(ge=0)  # DSP48 slices


class AxiPorts(BaseModel):
    """AXI ports from the fabric to DDR."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ports: int = Field(ge=2)  # weight ports and the port of program, tables, image and result
    data_bits: int = Field(ge=128, le=128)  # this generator speaks 128 bits
    read_commands: int = Field(default=0, ge=0)  # bursts of reads that a port takes at a time; 0: no limit is known
    read_buffer_beats: int = Field(default=0, ge=0)  # data of reads that a port holds; 0: no limit is known


class Ddr(BaseModel):
    """DDR as the simulation models it; cycles are of the accelerator's clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    peak_gb_per_s: float = Field(gt=0, le=10_000)  # 10^9 bytes per second
    efficiency: float = Field(default=0.8, gt=0, le=1)  # share of the peak that reads and writes get
    read_latency_cycles: int = Field(ge=100)  # from address to first data
    refresh_interval_cycles: int = Field(ge=1)  # a gap starts every so many cycles
    refresh_cycles: int = Field(ge=0)  # length of the gap

    @model_validator(mode="after")
    def _check(self) -> "Ddr":
        if self.refresh_cycles >= self.refresh_interval_cycles:
            raise ValueError(
                f"ddr.refresh_cycles {self.refresh_cycles} must be below"
                f" ddr.refresh_interval_cycles {self.refresh_interval_cycles}"
            )
        return self


class Board(BaseModel):
    """One board; ``sources`` says for each figure where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str  # how people call it
    part: str  # full part number, as Vivado names it
    clock_mhz: float = Field(gt=0, le=1000)
    arch: str  # preset that fits the board
    resources: Resources
    axi: AxiPorts
    ddr: Ddr
    sources: dict[str, str]  # key (``part``, ``ddr.peak_gb_per_s``, ``resources`` ...) -> where the figure comes from

    @model_validator(mode="after")
    def _check(self) -> "Board":
        figures = {"part", "clock_mhz", "resources", "axi"} | {f"ddr.{key}" for key in Ddr.model_fields}
        for key in self.sources:
            if key not in figures:
                raise ValueError(f"unknown key 'sources.{key}'{nearest(key, sorted(figures))}")
        missing = sorted(figures - set(self.sources))
        if missing:
            raise ValueError(f"sources lacks {', '.join(missing)}; say where each figure comes from")
        return self

    @property
    def bytes_per_cycle(self) -> float:
        """DDR bytes per clock cycle at the stated efficiency, all ports together."""
        return self.ddr.peak_gb_per_s * 1e3 * self.ddr.efficiency / self.clock_mhz


def load_board(path: Path) -> Board:
    """The board described by the YAML file ``path``."""
    board = validated(Board, read_mapping(path), str(path))
    if board.name != path.stem:
        raise ConfigError(f"{path}: name is {board.name!r}, the file is called {path.stem!r}; make them equal")
    return board


def board_names() -> list[str]:
    """Names of the boards that ship with the package."""
    return sorted(path.stem for path in data_folder("boards").glob("*.yaml"))


def board(name: str) -> Board:
    """The board called ``name``; ConfigError names the nearest one."""
    names = board_names()
    if name not in names:
        raise ConfigError(f"unknown board {shown(name)}{nearest(name, names)}")
    return load_board(data_folder("boards") / f"{name}.yaml")
