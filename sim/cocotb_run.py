"""Runs inside the simulator: every run of the job through the host driver, results into files."""

import time
from pathlib import Path

import cocotb
import numpy as np

from hwgen.driver.backend import BackendError
from hwgen.driver.device import Device, DeviceError, MachineError
from hwgen.driver.workload import Workload
from hwgen.store.output_file import placed
from sim.backend import BenchBackend
from sim.job import (
    IMAGES_FILE,
    WORKLOAD_FOLDER,
    Job,
    JobRun,
    RunOutcome,
    result_file,
    save_outcomes,
)
from sim.options import Silence

FOLDER = Path(".")


async def one_run(
    device: Device, backend: BenchBackend, job: Job, run: JobRun, image: np.ndarray, index: int
) -> RunOutcome:
    """Run, time and count; machine errors are part of the outcome."""
    if run.reset:
        await backend.reset()
    backend.set_errors(run.error_offset, run.error_size)
    if run.silence:
        backend.set_silence(Silence(**run.silence))
    reads, writes = backend.beats()
    begin, start = time.perf_counter(), backend.cycle
    counters: dict[str, int] = {}
    code = pc = 0
    failure = ""
    try:
        result = await device.run(run.task, image, job.watchdog_cycles)
        counters = result.counters
        with placed(result_file(FOLDER, index)) as part:
            np.save(part, result.data)
    except MachineError as error:
        code, pc = error.code, error.pc
    except (DeviceError, BackendError) as error:
        failure = str(error)
    reads_after, writes_after = backend.beats()
    return RunOutcome(
        start_cycle=start,
        end_cycle=backend.cycle,
        interrupt_cycle=backend.interrupt_cycle,
        seconds=time.perf_counter() - begin,
        read_beats=reads_after - reads,
        write_beats=writes_after - writes,
        counters=counters,
        error_code=code,
        error_pc=pc,
        failure=failure,
    )


@cocotb.test()
async def session(dut):
    """Every run of the job; a failure other than a machine error ends the session."""
    job = Job.load(FOLDER)
    images = np.load(FOLDER / IMAGES_FILE)
    backend = await BenchBackend.start(dut)
    device = Device(backend)
    await device.load(Workload.load(FOLDER / WORKLOAD_FOLDER))
    outcomes: list[RunOutcome] = []
    for index, run in enumerate(job.runs):
        outcomes.append(await one_run(device, backend, job, run, images[run.image], index))
        save_outcomes(FOLDER, outcomes)
        if outcomes[-1].failure:
            break
