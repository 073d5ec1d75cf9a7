"""The DDR model under synthetic traffic: data, latency, bandwidth, refresh, stalls, errors and protocol checks."""

import json
from pathlib import Path

import numpy as np
import pytest

from sim.bench import HDL_SOURCES
from sim.runner import Build, build, run
from sim.toolchain import lint

HERE = Path(__file__).parent
PORTS, REGION, BASE = 4, 1 << 20, 8 << 32
START = 4  # cycles of reset


@pytest.fixture(scope="module")
def traffic(build_root: Path) -> Build:
    return build([*HDL_SOURCES, HERE / "hdl" / "ddr_traffic.sv"], "ddr_traffic", root=build_root)


def pattern() -> np.ndarray:
    """The memory as ddr_traffic.sv expects it: [beats, 4] words of 32 bits, by address."""
    a = BASE + 16 * np.arange(PORTS * REGION // 16, dtype=np.int64)
    words = np.stack([a, a ^ 0xA5A50F0F, a + 3, ~a + 1], axis=1)
    return (words & 0xFFFFFFFF).astype("<u4")


def play(built: Build, folder: Path, memory: np.ndarray | None = None, **settings: int) -> dict[str, int]:
    """Counts of one run; the memory is left in ``memory.bin``."""
    (folder / "memory.bin").write_bytes((pattern() if memory is None else memory).tobytes())
    run(built, "tests.sim.ddr_cocotb", folder, plusargs=settings, seconds=60)
    return json.loads((folder / "counts.json").read_text())


def test_reads_return_the_memory_after_the_latency(traffic: Build, tmp_path: Path):
    for latency in (20, 120):
        counts = play(traffic, tmp_path, latency=latency, bursts=50)
        assert counts["read_beats"] == PORTS * 50 * 16
        assert (counts["wrong"], counts["unstable"], counts["fault"], counts["finished"]) == (0, 0, 0, 1)
        assert counts["first_data"] == latency


def test_a_wrong_word_in_memory_is_noticed(traffic: Build, tmp_path: Path):
    memory = pattern()
    memory[5, 2] ^= 1
    assert play(traffic, tmp_path, memory, bursts=2)["wrong"] == 1


def test_writes_arrive_in_memory(traffic: Build, tmp_path: Path):
    counts = play(traffic, tmp_path, np.zeros_like(pattern()), mode=1, bursts=20, stall=60)
    assert counts["write_beats"] == PORTS * 20 * 16
    got = np.fromfile(tmp_path / "memory.bin", "<u4").reshape(PORTS, -1, 4)
    want = pattern().reshape(PORTS, -1, 4)
    assert np.array_equal(got[:, : 20 * 16], want[:, : 20 * 16])
    assert not got[:, 20 * 16 :].any()


@pytest.mark.parametrize("rate", [10.5, 16.0, 45.5])
@pytest.mark.parametrize("mode", [0, 2])
def test_the_bandwidth_is_the_parameter(traffic: Build, tmp_path: Path, rate: float, mode: int):
    gaps = {"refresh_interval": 500, "refresh_cycles": 25} if rate < 40 else {}
    counts = play(traffic, tmp_path, rate=int(rate * 256), mode=mode, bursts=200, latency=20, **gaps)
    data = 16 * (counts["read_beats"] + counts["write_beats"])
    assert data == PORTS * 200 * 16 * 16
    cycles = counts["cycle"] - START
    assert data / cycles <= rate
    assert data / cycles == pytest.approx(rate, rel=0.03)


def test_without_a_cap_every_port_moves_a_beat_a_cycle(traffic: Build, tmp_path: Path):
    counts = play(traffic, tmp_path, bursts=200)
    assert counts["read_beats"] / (counts["cycle"] - START) == pytest.approx(PORTS, rel=0.03)


def test_one_port_gets_its_share_alone(traffic: Build, tmp_path: Path):
    counts = play(traffic, tmp_path, active=1, bursts=200, rate=8 * 256)
    assert 16 * counts["read_beats"] / (counts["cycle"] - START) == pytest.approx(8, rel=0.03)


def test_stalls_change_nothing_but_the_time(traffic: Build, tmp_path: Path):
    quiet = play(traffic, tmp_path, mode=2, bursts=50)
    for seed in (1, 2):
        counts = play(traffic, tmp_path, mode=2, bursts=50, stall=100, lazy=100, seed=seed)
        assert counts["read_beats"] == quiet["read_beats"]
        assert counts["write_beats"] == quiet["write_beats"]
        assert (counts["wrong"], counts["unstable"], counts["fault"]) == (0, 0, 0)
        assert counts["cycle"] > 1.3 * quiet["cycle"]


@pytest.mark.parametrize(("mode", "channels"), [(0, 1), (0, 2), (1, 4), (1, 8), (1, 16)])
def test_a_silent_port_answers_afterwards(traffic: Build, tmp_path: Path, mode: int, channels: int):
    """Nothing is lost, changed or out of order; the other ports go on."""
    silence = {"silent_mask": 2, "silent_on": channels, "silent_from": 60, "silent_until": 4000}
    quiet = play(traffic, tmp_path, mode=mode, bursts=20)
    counts = play(traffic, tmp_path, mode=mode, bursts=20, **silence)
    assert (counts["read_beats"], counts["write_beats"]) == (quiet["read_beats"], quiet["write_beats"])
    assert (counts["wrong"], counts["unstable"], counts["fault"], counts["finished"]) == (0, 0, 0, 1)
    assert quiet["cycle"] < 2000
    assert 4000 < counts["cycle"] < 4000 + quiet["cycle"]


@pytest.mark.parametrize(
    ("limits", "beats_in_flight"),
    [
        ({}, 256),
        ({"read_commands": 8}, 128),
        ({"read_buffer": 64}, 64),
        ({"read_commands": 8, "read_buffer": 200}, 128),
    ],
)
def test_limits_of_a_read_port(traffic: Build, tmp_path: Path, limits: dict[str, int], beats_in_flight: int):
    """A port moves what it may have in flight once a latency; data and order stay."""
    latency = 400
    counts = play(traffic, tmp_path, active=1, bursts=400, latency=latency, **limits)
    assert (counts["read_beats"], counts["wrong"], counts["fault"], counts["finished"]) == (6400, 0, 0, 1)
    assert counts["read_beats"] / (counts["cycle"] - START) == pytest.approx(beats_in_flight / latency, rel=0.08)


def test_the_error_range_answers_with_slverr(traffic: Build, tmp_path: Path):
    for mode, answers in ((0, 16), (1, 1)):  # beats of a read burst, one response for a write
        counts = play(traffic, tmp_path, mode=mode, bursts=50, active=1, error_at=4096)
        assert counts["slave_errors"] == 4096 // (16 * 16) * answers
        assert (counts["decode_errors"], counts["wrong"], counts["fault"]) == (0, 0, 0)


def test_outside_the_memory_is_a_decode_error(traffic: Build, tmp_path: Path):
    counts = play(traffic, tmp_path, bursts=2, active=1, offset=PORTS * REGION)
    assert (counts["decode_errors"], counts["fault"]) == (2 * 16, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"offset": 4096 - 64}, "burst crosses 4 KB"), ({"offset": 8}, "address is not a multiple of 16")],
)
def test_protocol_violations_are_named(traffic: Build, tmp_path: Path, settings: dict[str, int], message: str):
    assert play(traffic, tmp_path, active=1, bursts=4, **settings)["fault"] == 1
    assert message in (tmp_path / "simulation.log").read_text()


def test_the_sources_are_lint_clean():
    sources = [path for path in HDL_SOURCES if path.suffix == ".sv"]
    assert lint(sources, "hwgen_ddr") == []
    assert lint(sources, "hwgen_host") == []
