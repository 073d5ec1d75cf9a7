"""A command ends when its time is up and when the process that asked for it dies, with all that it has started."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from hwgen.process.child_process import TICK_SECONDS, run_child

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 30


def processes_in(folder: Path) -> list[int]:
    """Processes that work in a folder or below it; zombies do not count."""
    if not Path("/proc/self/cwd").exists():
        pytest.skip("no /proc to find processes in")
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            place = Path(os.readlink(entry / "cwd").removesuffix(" (deleted)"))
        except OSError:
            continue
        if entry.name.isdigit() and place.is_relative_to(folder):
            found.append(int(entry.name))
    return found


def until(true, seconds: float = WAIT_SECONDS) -> bool:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_exit_code_output_and_environment(tmp_path: Path):
    with tempfile.TemporaryFile("w+") as output:
        script = 'echo "$PWD $WORD"; echo error >&2; exit 7'
        env = {**os.environ, "WORD": "x y"}
        assert run_child(["sh", "-c", script], cwd=tmp_path, seconds=20, output=output, env=env) == 7
        output.seek(0)
        assert output.read() == f"{tmp_path} x y\nerror\n"
    assert run_child(["true"], cwd=tmp_path, seconds=20) == 0


@pytest.mark.parametrize("name", ["SEGV", "KILL", "TERM"])
def test_a_command_that_dies_by_a_signal(tmp_path: Path, name: str):
    code = run_child(["sh", "-c", f"kill -{name} $$"], cwd=tmp_path, seconds=20)
    assert code == -signal.Signals[f"SIG{name}"]


def test_a_command_that_is_not_there(tmp_path: Path):
    with tempfile.TemporaryFile("w+") as output:
        assert run_child(["no-such-command"], cwd=tmp_path, seconds=20, output=output) == 127
        output.seek(0)
        assert output.read() == "no-such-command: No such file or directory\n"


def test_a_command_may_be_stopped_by_signals_that_its_guard_ignores(tmp_path: Path):
    code = "import signal; print(*[signal.getsignal(n) == 0 for n in (1, 13, 15)])"
    with tempfile.TemporaryFile("w+") as output:
        run_child([sys.executable, "-S", "-c", code], cwd=tmp_path, seconds=20, output=output)
        output.seek(0)
        assert output.read() == "True False True\n"  # Python itself ignores SIGPIPE


GRANDCHILD = "sleep 300 & trap '' TERM INT HUP; sleep 300; wait"


def test_time_is_limited_and_grandchildren_end(tmp_path: Path):
    begin = time.monotonic()
    kept = tmp_path / "kept"
    kept.mkdir()
    with pytest.raises(subprocess.TimeoutExpired):
        run_child(["sh", "-c", GRANDCHILD], cwd=kept, seconds=1, scratch=(kept,))
    assert 1 <= time.monotonic() - begin < 9
    assert until(lambda: processes_in(tmp_path) == [], 5)
    assert kept.is_dir()  # who asked still lives, and may read the log


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_ends_with_the_process_that_asked_for_it(tmp_path: Path, number: signal.Signals):
    """Whether that process can do something about its end or not."""
    work, scratch = tmp_path / "work", tmp_path / "scratch"
    for folder in (work, scratch):
        folder.mkdir()
    (scratch / "file").write_text("x")
    code = (
        "import sys; from pathlib import Path; from hwgen.process.child_process import TICK_SECONDS, run_child;"
        f"run_child(['sh', '-c', {GRANDCHILD!r}], cwd=sys.argv[1], seconds=300, scratch=[Path(sys.argv[2])])"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(work), str(scratch)], cwd=ROOT)
    assert until(lambda: len(processes_in(work)) >= 3)  # guard, shell, its sleeps
    parent.send_signal(number)
    assert parent.wait(20) == -number
    assert until(lambda: processes_in(work) == [])
    assert until(lambda: not scratch.exists(), 5)
    assert work.is_dir()


def test_who_waits_is_called_now_and_then_and_time_is_still_up(tmp_path: Path):
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(time.monotonic())

    assert run_child(["sh", "-c", f"sleep {2.5 * TICK_SECONDS}; exit 3"], cwd=tmp_path, seconds=30, tick=tick) == 3
    assert 1 <= len(ticks) <= 3
    ticks.clear()
    with pytest.raises(subprocess.TimeoutExpired):
        run_child(["sleep", "60"], cwd=tmp_path, seconds=1.5 * TICK_SECONDS, tick=tick)
    assert len(ticks) == 1
    assert until(lambda: not processes_in(tmp_path))
