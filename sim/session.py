"""Python API of a simulation: images through an accelerator's Verilog, and everything that came out."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.compile import Compiled
from hwgen.compiler.listing import ListingEntry
from hwgen.driver.device import MachineError
from hwgen.driver.workload import Workload
from hwgen.spec.arch import BEAT_BYTES, ArchConfig
from hwgen.spec.board import Board
from hwgen.store.output_file import placed, write_text
from sim.bench import BENCH, HDL_SOURCES, bench
from sim.bench_memory import BenchMemory
from sim.job import (
    IMAGES_FILE,
    OUTCOME_FILE,
    WORKLOAD_FOLDER,
    Job,
    JobRun,
    RunOutcome,
    load_outcomes,
    result_file,
)
from sim.options import DdrSettings, ErrorRange, SimOptions
from sim.runner import Build, Share, SimulationError, build, run
from sim.trace import Conflict, InstructionTime, Trace, between, instruction_times, read_conflicts, read_trace

MODULE = "sim.cocotb_run"


@dataclass(frozen=True, kw_only=True)
class SimRun:
    """One image through one task."""

    task: str
    image: int  # index of the image
    data: NDArray[np.int16] | None  # int16 [rows, outputs]; None after an error
    counters: dict[str, int]  # performance counters by register name
    error: MachineError | None
    simulated_cycles: int  # host accesses included
    interrupt_cycle: int  # when the host saw the interrupt, counted like the cycles of the trace
    seconds: float
    ddr_read_bytes: int  # as the memory model counted them
    ddr_write_bytes: int
    trace: Trace | None  # cycles counted from the start of the run
    conflicts: tuple[Conflict, ...] = ()  # of writers that the program does not order

    @property
    def cycles(self) -> int:
        """From start to interrupt, as the machine counted them."""
        return self.counters["CYCLES"]

    def instructions(self, listing: Sequence[ListingEntry]) -> list[InstructionTime]:
        """Start and end of every instruction, in cycles since the start of the machine."""
        if self.trace is None:
            raise ValueError("this simulation ran without traces")
        return instruction_times(self.trace, listing, self.simulated_cycles)


@dataclass(frozen=True, kw_only=True)
class SimResult:
    """A session: its runs in order, and what it cost."""

    runs: tuple[SimRun, ...]
    build: Build
    seconds: float  # of the simulator process, start and end included

    @property
    def sim_seconds(self) -> float:
        """Wall-clock time of the runs."""
        return sum(item.seconds for item in self.runs)

    @property
    def sim_cycles_per_second(self) -> float:
        """Simulated clock cycles per second of wall-clock time."""
        return sum(item.simulated_cycles for item in self.runs) / max(self.sim_seconds, 1e-9)


def build_simulator(verilog: str, options: SimOptions, share: Share | None = None) -> Build:
    """The simulator of an accelerator; built once for equal Verilog. ``share`` is told how much of it is done."""
    with tempfile.TemporaryDirectory(prefix="hwgen-") as name:
        folder = Path(name)
        write_text(folder / "accelerator.v", verilog)
        write_text(folder / "bench.sv", bench(verilog))
        sources = [*HDL_SOURCES, folder / "accelerator.v", folder / "bench.sv"]
        return build(sources, BENCH, root=options.build_root, waves=options.waves, scratch=(folder,), share=share)


@contextmanager
def _folder(options: SimOptions) -> Iterator[Path]:
    """Where the files of a session go."""
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
        for stale in (OUTCOME_FILE, *(path.name for path in options.folder.glob("result_*.npy"))):
            (options.folder / stale).unlink(missing_ok=True)
        yield options.folder
        return
    folder = Path(tempfile.mkdtemp(prefix="hwgen-run-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _job(images: Sequence[NDArray[np.uint8]], tasks: Sequence[str], options: SimOptions) -> Job:
    """Every image through every task."""
    nothing = ErrorRange(offset=0, size=0)
    ranges, silences = options.error_ranges or {}, options.silences or {}
    pairs = [(image, task) for image in range(len(images)) for task in tasks]
    runs = [
        JobRun(
            task=task,
            image=image,
            error_offset=ranges.get(index, nothing).offset,
            error_size=ranges.get(index, nothing).size,
            reset=index in options.resets,
            silence=asdict(silences[index]) if index in silences else None,
        )
        for index, (image, task) in enumerate(pairs)
    ]
    return Job(runs=tuple(runs), watchdog_cycles=options.watchdog_cycles)


def _prepare(folder: Path, workload: Workload, images: Sequence[NDArray[np.uint8]], job: Job) -> None:
    """Files that the simulator reads."""
    workload.save(folder / WORKLOAD_FOLDER)
    with placed(folder / IMAGES_FILE) as part:
        np.save(part, np.stack(images))
    job.save(folder)


def _memory(workload: Workload, board: Board, options: SimOptions) -> BenchMemory:
    """The memory of a board with the workload's size."""
    return BenchMemory(
        memory_bytes=workload.memory_bytes,
        ddr=DdrSettings.from_board(board),
        stall=options.stall,
        seed=options.seed,
        address=options.memory_base,
    )


def _run(folder: Path, index: int, asked: JobRun, outcome: RunOutcome, lanes: int, trace: Trace | None) -> SimRun:
    """One run from what the simulator left."""
    failed, start, end = outcome.error_code != 0, outcome.start_cycle, outcome.end_cycle
    return SimRun(
        task=asked.task,
        image=asked.image,
        data=None if failed else np.load(result_file(folder, index)),
        counters=outcome.counters,
        error=MachineError(outcome.error_code, outcome.error_pc, asked.task) if failed else None,
        simulated_cycles=end - start,
        interrupt_cycle=outcome.interrupt_cycle - start,
        seconds=outcome.seconds,
        ddr_read_bytes=BEAT_BYTES * outcome.read_beats,
        ddr_write_bytes=BEAT_BYTES * outcome.write_beats,
        trace=None if trace is None else between(trace, start, end),
        conflicts=read_conflicts(folder, lanes, start, end),
    )


def _collect(folder: Path, job: Job, lanes: int, options: SimOptions) -> tuple[SimRun, ...]:
    """Every run; raises what went wrong."""
    outcomes = load_outcomes(folder)
    for outcome in outcomes:
        if outcome.failure:
            raise SimulationError(outcome.failure)
    if len(outcomes) != len(job.runs):
        raise SimulationError(f"the simulator ended after {len(outcomes)} of {len(job.runs)} runs")
    trace = read_trace(folder, lanes) if options.trace else None
    runs = tuple(
        _run(folder, index, asked, outcome, lanes, trace)
        for index, (asked, outcome) in enumerate(zip(job.runs, outcomes, strict=True))
    )
    if not options.errors_are_results:
        _refuse(runs)
    return runs


def _refuse(runs: Sequence[SimRun]) -> None:
    """Raise the first thing that went wrong; conflicts first, since all else may follow from them."""
    for item in runs:
        if item.conflicts:
            first, more = item.conflicts[0], len(item.conflicts) - 1
            others = f", and {more:,} more" if more else ""
            raise SimulationError(f"task {item.task}, image {item.image}: {first}{others}; the program must order them")
        if item.error is not None:
            raise item.error


def simulate(
    verilog: str,
    arch: ArchConfig,
    board: Board,
    compiled: Compiled,
    images: Sequence[NDArray[np.uint8]],
    tasks: Sequence[str],
    options: SimOptions | None = None,
) -> SimResult:
    """Send every image through every task of ``compiled`` on the accelerator ``verilog``, in one session.

    MachineError when the machine stops with an error code, SimulationError when anything else goes wrong: among others
    when two units write one memory in one cycle, whether traces are wanted or not.
    """
    options = options or SimOptions()
    if compiled.arch != arch:
        raise ValueError(f"the programs are for arch {compiled.arch.name}, the Verilog is {arch.name}")
    if not images or not tasks:
        raise ValueError(f"nothing to simulate: {len(images)} images, {len(tasks)} tasks")
    built = build_simulator(verilog, options)
    workload = Workload.from_compiled(compiled)
    for task in tasks:
        workload.task(task)
    for image in images:
        workload.planar(image)  # refuses a wrong size before anything runs
    job = _job(images, tasks, options)
    with _folder(options) as folder:
        _prepare(folder, workload, images, job)
        memory = _memory(workload, board, options)
        memory.create(folder)
        begin = time.monotonic()
        plusargs = memory.plusargs() | ({"trace_records": ""} if options.trace else {})
        run(built, MODULE, folder, plusargs=plusargs, seconds=options.seconds, keep=options.folder is not None)
        seconds = time.monotonic() - begin
        runs = _collect(folder, job, arch.output_lanes, options)
    return SimResult(runs=runs, build=built, seconds=seconds)
