"""The whole path of a simulation - build, driver, memory, trace, comparison - with a mock accelerator."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hwgen.driver.device import GRACE_CYCLES, MachineError
from hwgen.spec.isa import ErrorCode
from hwgen.store.boards import board
from sim.bench import BenchError, bench
from sim.compare import compare
from sim.options import ErrorRange, SimOptions
from sim.runner import SimulationError
from sim.session import SimResult, simulate
from tests.sim import mock_program
from tests.sim.mock_accelerator import FAULT_PC, HANG, Played, mock_verilog

BEATS = mock_program.compiled().programs["seg"].result_bytes // 16
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def verilog() -> str:
    return mock_verilog(mock_program.ARCH, BEATS, mock_program.script(mock_program.golden()))


def play(verilog: str, root: Path, images: np.ndarray = IMAGES, tasks: tuple[str, ...] = ("seg", "depth"), **options):
    return simulate(
        verilog,
        mock_program.ARCH,
        board("sim"),
        mock_program.compiled(),
        list(images),
        tasks,
        SimOptions(build_root=root, seconds=60, **options),
    )


@pytest.fixture(scope="module")
def result(verilog: str, build_root: Path) -> SimResult:
    return play(verilog, build_root)


def copied(image: np.ndarray) -> np.ndarray:
    """The result of the mock: the first bytes of the planar image as the result region."""
    data = image.transpose(2, 0, 1).tobytes()[: 16 * BEATS]
    words = np.frombuffer(data, "<i2").reshape(2, mock_program.ARCH.words(20), 2, -1)
    return words.transpose(0, 2, 1, 3).reshape(4, -1)[:, :20]


def test_every_image_goes_through_every_task(result: SimResult):
    assert [(run.image, run.task) for run in result.runs] == [(0, "seg"), (0, "depth"), (1, "seg"), (1, "depth")]
    for run in result.runs:
        assert run.data is not None
        assert np.array_equal(run.data, copied(IMAGES[run.image]))
        assert run.counters["MAC_CYCLES"] == BEATS
        assert (run.ddr_read_bytes, run.ddr_write_bytes) == (16 * BEATS, 16 * BEATS)
        assert 2 * 100 * BEATS < run.cycles < run.simulated_cycles  # two latencies a beat
    assert result.sim_cycles_per_second > 0


def test_the_trace_comes_back_bit_for_bit(result: SimResult):
    want = mock_program.golden()
    for run in result.runs:
        assert run.trace is not None
        compared = compare(run.trace, mock_program.listing(), want)
        assert compared.good
        assert compared.values == sum(tensor.size for tensor in want.values())
        assert all(np.array_equal(compared.got[name], tensor) for name, tensor in want.items())
    wrong = want | {"query": want["query"] + (np.arange(want["query"].size).reshape(5, -1) == 17)}
    assert result.runs[0].trace is not None
    compared = compare(result.runs[0].trace, mock_program.listing(), wrong)
    assert compared.first is not None
    assert (compared.mismatches, compared.first.tensor, compared.first.index) == (1, "query", (0, 17))


def test_instructions_have_their_times(result: SimResult):
    run = result.runs[1]
    times = run.instructions(mock_program.listing())
    assert [item.index for item in times] == list(range(9))
    assert all(item.start_cycle is not None and item.end_cycle is not None for item in times)
    assert run.trace is not None
    assert run.trace["post"]["cycle"].max() < run.simulated_cycles
    compute = [item for item in times if item.unit == "COMPUTE"]
    for item, following in pairwise(compute):
        assert item.start_cycle < item.end_cycle <= following.start_cycle
    script = mock_program.script(mock_program.golden())
    plays = [index for index, item in enumerate(script) if item.fields["pc"] == 1]
    assert times[1].end_cycle - times[1].start_cycle == plays[-1] - plays[0] + 1


def test_stalls_change_only_the_time(verilog: str, build_root: Path, result: SimResult):
    stalled = play(verilog, build_root, images=IMAGES[:1], tasks=("seg",), stall=0.4, seed=3)
    assert stalled.build.cached
    assert np.array_equal(stalled.runs[0].data, result.runs[0].data)
    assert stalled.runs[0].cycles > result.runs[0].cycles


def test_an_error_has_code_and_place_and_the_next_run_works(verilog: str, build_root: Path):
    ranges = {0: ErrorRange(offset=4096, size=64)}  # the image lies there
    failed, good = play(
        verilog, build_root, images=IMAGES[:1], error_ranges=ranges, errors_are_results=True, trace=False
    ).runs
    assert failed.error is not None
    assert (failed.error.code, failed.error.name, failed.error.pc) == (ErrorCode.AXI_READ, "AXI_READ", FAULT_PC)
    assert good.error is None
    assert np.array_equal(good.data, copied(IMAGES[0]))
    with pytest.raises(MachineError, match=r"task seg: the machine stopped with AXI_READ \(3\) at instruction 3"):
        play(verilog, build_root, images=IMAGES[:1], tasks=("seg",), error_ranges=ranges)


def test_a_machine_that_hangs_is_given_up(verilog: str, build_root: Path):
    with pytest.raises(SimulationError, match=f"no interrupt after {7 + GRACE_CYCLES:,} cycles"):
        play(verilog, build_root, images=IMAGES[:1], tasks=("seg",), watchdog_cycles=HANG)


def test_files_stay_when_a_folder_is_given(verilog: str, build_root: Path, tmp_path: Path):
    play(verilog, build_root, images=IMAGES[:1], tasks=("seg",), folder=tmp_path)
    assert (tmp_path / "simulation.log").is_file()
    assert (tmp_path / "post.bin").stat().st_size > 0


def test_wrong_requests_are_refused(verilog: str, build_root: Path):
    with pytest.raises(ValueError, match="mock has no task 'x'; it has seg, depth"):
        play(verilog, build_root, tasks=("x",))
    with pytest.raises(ValueError, match=r"takes a uint8 image \[16, 16, 3\], got uint8\[8, 16, 3\]"):
        play(verilog, build_root, images=IMAGES[:, :8])
    with pytest.raises(BenchError, match="no port s_axi_control_wdata"):
        bench(verilog.replace("s_axi_control_wdata", "other"))
    with pytest.raises(BenchError, match="m_axi_gmem1_wdata is output of 64 bits, expected 128"):
        bench(verilog.replace("[127:0] m_axi_gmem1_wdata", "[63:0] m_axi_gmem1_wdata"))


@pytest.mark.parametrize(("writers", "memories"), [(0b0011, ["residual"]), (0b1111, ["residual", "activation"])])
def test_two_writers_of_a_memory_fail_the_simulation(build_root: Path, writers: int, memories: list[str]):
    """With traces and without; one writer alone, and both of different memories, are fine."""
    fine = [Played("conflict", {}, data) for data in (0b0001, 0b0010, 0b0110, 0b1001)]
    both = mock_verilog(mock_program.ARCH, BEATS, [*fine, Played("conflict", {}, writers), *fine])
    place = f"task seg, image 0: post-processor and IO engine both wrote the {memories[0]} buffer in cycle"
    for trace in (False, True):
        with pytest.raises(SimulationError, match=place):
            play(both, build_root, images=IMAGES[:1], tasks=("seg",), trace=trace)
    (run,) = play(both, build_root, images=IMAGES[:1], tasks=("seg",), trace=False, errors_are_results=True).runs
    assert [conflict.memory for conflict in run.conflicts] == memories
    (cycle,) = {conflict.cycle for conflict in run.conflicts}
    assert 2 * 100 * BEATS < cycle < run.simulated_cycles


def test_conflicts_are_those_of_the_run(build_root: Path):
    """Each run has its own, and those without any have none."""
    verilog = mock_verilog(mock_program.ARCH, BEATS, [Played("conflict", {}, 0b1100)] * 2)
    runs = play(verilog, build_root, images=IMAGES[:1], errors_are_results=True).runs
    assert [[conflict.memory for conflict in run.conflicts] for run in runs] == [["activation"] * 2] * 2
    assert len({conflict.cycle for run in runs for conflict in run.conflicts}) >= 2
