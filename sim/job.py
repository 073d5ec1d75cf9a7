"""What passes between the process that asks for a simulation and the one inside it: files in one folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwgen.store.output_file import write_text

JOB_FILE = "job.json"
OUTCOME_FILE = "outcome.json"
MEMORY_FILE = "memory.bin"
IMAGES_FILE = "images.npy"
WORKLOAD_FOLDER = "workload"


@dataclass(frozen=True, kw_only=True)
class JobRun:
    """One image through one task."""

    task: str
    image: int  # index in IMAGES_FILE
    error_offset: int = 0
    error_size: int = 0
    reset: bool = False  # pulse ap_rst_n before it
    silence: dict[str, Any] | None = None  # fields of sim.options.Silence


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that the module inside the simulator is told."""

    runs: tuple[JobRun, ...]
    watchdog_cycles: int

    def save(self, folder: Path) -> None:
        """Write it for the simulator."""
        write_text(folder / JOB_FILE, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, folder: Path) -> "Job":
        """Read it inside the simulator."""
        data = json.loads((folder / JOB_FILE).read_text())
        return cls(**{**data, "runs": tuple(JobRun(**run) for run in data["runs"])})


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What the simulator says about one run; the result itself is in ``result_<index>.npy``."""

    start_cycle: int  # of the simulation
    end_cycle: int
    interrupt_cycle: int  # seen by the host, a few cycles after it was raised
    seconds: float
    read_beats: int
    write_beats: int
    counters: dict[str, int]
    error_code: int = 0
    error_pc: int = 0
    failure: str = ""  # anything else that went wrong


def result_file(folder: Path, index: int) -> Path:
    """Result of run ``index``."""
    return folder / f"result_{index}.npy"


def save_outcomes(folder: Path, outcomes: list[RunOutcome]) -> None:
    """Write what happened so far."""
    write_text(folder / OUTCOME_FILE, json.dumps([asdict(item) for item in outcomes], indent=1))


def load_outcomes(folder: Path) -> list[RunOutcome]:
    """Read what happened."""
    data: list[dict[str, Any]] = json.loads((folder / OUTCOME_FILE).read_text())
    return [RunOutcome(**item) for item in data]
