"""A signal ends the program with one line and 128 + its number; simulator and temporary folder go with it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.test_child_process import ROOT, processes_in, until
from tests.sim.test_runner import source

OLD = '{"models": ["of an earlier run"]}\n'
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
SLOW_SECONDS = 300

# The program with a command that simulates for ever, as `hwgen verify` simulates.
ENDLESS = """
import sys
from pathlib import Path
from hwgen.cli import lists
from hwgen.__main__ import main
from sim.options import SimOptions
from sim.runner import build, run
from sim.session import _folder

text, root = Path(sys.argv.pop()), Path(sys.argv.pop())

def endless():
    with _folder(SimOptions()) as folder:
        built = build([text], "tiny", root=root, parameters={"VALUE": 42})
        run(built, "tests.sim.endless_cocotb", folder, seconds=300, keep=False)

lists.model_table = endless
main()
"""

# The program with a command that works in a temporary folder and in a build folder.
WORKING = """
import tempfile, time
from pathlib import Path
from hwgen.cli import lists
from hwgen.__main__ import main
from hwgen.steps import Steps

def work():
    with tempfile.TemporaryDirectory():
        Steps(Path("build"), ["write"], lambda _: None).files("write", "k", lambda _: time.sleep(300))

lists.model_table = work
main()
"""

# The program, in whose imports one takes long.
SLOW_IMPORT = """
import importlib.abc, sys, time
class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "hwgen.request":
            print("importing", flush=True)
            time.sleep(300)
sys.meta_path.insert(0, Slow())
from hwgen.__main__ import main
main()
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes of a test; they end with it."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(code: str, folder: Path, *words: str, nohup: bool = False) -> "subprocess.Popen[str]":
    """The program in ``folder``, whose temporary folders go to ``folder``/tmp."""
    (folder / "tmp").mkdir()
    env = {**os.environ, "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: _as_from_a_terminal(nohup),
    )


def _as_from_a_terminal(nohup: bool) -> None:
    """SIGINT counts, also where the tests themselves run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if nohup:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def simulating(folder: Path) -> bool:
    """Whether a simulator runs in one of the temporary folders."""
    return any((folder / "tmp").glob("hwgen-run-*/simulation.log")) and len(processes_in(folder / "tmp")) >= 2


@pytest.mark.parametrize("number", [*ENDING, signal.SIGKILL], ids=lambda number: number.name)
def test_a_simulation_ends_with_the_program(
    tmp_path: Path, build_root: Path, started: list[subprocess.Popen[str]], number: signal.Signals
):
    report = tmp_path / "out.json"
    report.write_text(OLD)
    words = ("models", "--json", str(report), str(build_root), str(source(tmp_path)))
    process = start(ENDLESS, tmp_path, *words)
    started.append(process)
    assert until(lambda: simulating(tmp_path) or process.poll() is not None, SLOW_SECONDS)
    assert process.poll() is None, process.communicate()[1]
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert until(lambda: processes_in(tmp_path / "tmp") == [], 10)
    assert until(lambda: list((tmp_path / "tmp").iterdir()) == [], 10)
    if number == signal.SIGKILL:
        assert (process.returncode, report.exists()) == (-9, False)
        return
    assert (process.returncode, said) == (128 + number, f"error: stopped by {number.name}\n")
    assert json.loads(report.read_text()) == {"error": f"stopped by {number.name}"}


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_work_in_folders_is_cleared_away(tmp_path: Path, started: list[subprocess.Popen[str]], number: signal.Signals):
    process = start(WORKING, tmp_path, "models")
    started.append(process)
    assert until(lambda: any(tmp_path.glob("build/.part-*/1")), SLOW_SECONDS)
    assert any((tmp_path / "tmp").iterdir())
    process.send_signal(number)
    assert process.communicate(timeout=30)[1] == f"error: stopped by {number.name}\n"
    assert process.returncode == 128 + number
    assert [*(tmp_path / "tmp").iterdir(), *(tmp_path / "build").iterdir()] == []


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_a_signal_during_the_imports_is_one_line(
    tmp_path: Path, started: list[subprocess.Popen[str]], number: signal.Signals
):
    (tmp_path / "out.json").write_text(OLD)
    process = start(SLOW_IMPORT, tmp_path, "models", "--json", "out.json")
    started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert (process.returncode, said) == (128 + number, f"error: stopped by {number.name}\n")
    assert json.loads((tmp_path / "out.json").read_text()) == {"error": f"stopped by {number.name}"}


def test_a_hang_up_that_is_ignored_stays_ignored(tmp_path: Path, started: list[subprocess.Popen[str]]):
    process = start(SLOW_IMPORT, tmp_path, "models", nohup=True)
    started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143


def test_the_program_is_a_module_too(tmp_path: Path):
    command = [sys.executable, "-m", "hwgen", "models"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert "m3vit-micro" in done.stdout
