"""Two builds in one folder at the same time: both end well, and the folder is that of the one that ends last."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from itertools import permutations
from pathlib import Path

import pytest

from hwgen import steps as steps_module
from hwgen.steps import LOCK, OWNER, PRIVATE, RECORD, Steps
from hwgen.store.locked_file import locked, try_lock

NAMES = ("verilog", "board")
SECONDS = 60


class Builder(threading.Thread):
    """A build of two steps in which the second is made from the first; `advance` lets it take one more stride."""

    def __init__(self, folder: Path, design: str) -> None:
        super().__init__(daemon=True)
        self.design, self.failure, self.made = design, "", 0
        self._steps = Steps(folder, NAMES, lambda _: None)
        self._go, self._arrived = threading.Semaphore(0), threading.Semaphore(0)

    def _stride(self) -> None:
        self._arrived.release()
        assert self._go.acquire(timeout=SECONDS)

    def _verilog(self) -> str:
        self.made += 1
        self._stride()
        return f"module {self.design};"

    def run(self) -> None:
        try:
            text = self._steps.text("verilog", self.design, "top.v", self._verilog)
            self._stride()

            def board(part: Path) -> None:
                self._stride()
                (part / "board.txt").write_text(f"for {text}")

            self._steps.files("board", self.design, board)
            self._stride()
            self._steps.settle()
        except BaseException as error:  # shown by the test
            self.failure = repr(error)
        self._arrived.release()

    def wait(self) -> None:
        assert self._arrived.acquire(timeout=SECONDS), f"{self.design} does not go on"

    def advance(self) -> None:
        self._go.release()
        self.wait()

    STRIDES = 4


def check(folder: Path, design: str) -> None:
    """Files and record are of one design, and nothing else is left."""
    assert (folder / "top.v").read_text() == f"module {design};"
    assert (folder / "board.txt").read_text() == f"for module {design};"
    record = json.loads((folder / RECORD).read_text())
    assert {name: list(entry["files"]) for name, entry in record.items()} == {
        "verilog": ["top.v"],
        "board": ["board.txt"],
    }
    assert {entry["key"] for entry in record.values()} == {design}
    assert sorted(path.name for path in folder.iterdir()) == ["board.txt", RECORD, "top.v"]


def orders() -> list[str]:
    """Every order in which the strides of two builds can be taken."""
    return sorted({"".join(order) for order in permutations("a" * Builder.STRIDES + "b" * Builder.STRIDES)})


def test_two_designs_in_every_order(tmp_path: Path):
    every = orders()
    assert len(every) == 70
    for number, order in enumerate(every):
        folder = tmp_path / str(number)
        builders = {name: Builder(folder, name) for name in "ab"}
        for builder in builders.values():
            builder.start()
            builder.wait()
        for name in order:
            builders[name].advance()
        assert [builder.failure for builder in builders.values()] == ["", ""], order
        check(folder, order[-1])


@pytest.mark.parametrize("first", ["a", "b"])
def test_files_that_were_good_are_made_again_when_another_build_replaces_them(tmp_path: Path, first: str):
    """A build that found everything in place has made nothing that it could put back."""
    second = "b" if first == "a" else "a"
    alone = Builder(tmp_path, first)
    alone.start()
    alone.wait()
    for _ in range(Builder.STRIDES):
        alone.advance()
    again, other = Builder(tmp_path, first), Builder(tmp_path, second)
    again.start()
    again.wait()  # past the first step, which had nothing to do
    other.start()
    other.wait()
    for _ in range(Builder.STRIDES):
        other.advance()
    check(tmp_path, second)
    while again.is_alive():
        again.advance()
        again.join(0.2)
    assert (again.failure, again.made) == ("", 1)
    check(tmp_path, first)


def test_a_step_that_fails_leaves_the_other_build_alone(tmp_path: Path):
    good, bad = Builder(tmp_path, "good"), Steps(tmp_path, NAMES, lambda _: None)
    good.start()
    good.wait()

    def burn(part: Path) -> None:
        (part / "half.txt").write_text("half")
        raise RuntimeError(f"{part}: on fire")

    with pytest.raises(RuntimeError, match=f"^{tmp_path}: on fire$"):
        bad.files("verilog", "bad", burn)
    for _ in range(Builder.STRIDES):
        good.advance()
    assert good.failure == ""
    check(tmp_path, "good")


def _build_and_hang(folder: Path) -> None:
    Steps(folder, NAMES, lambda _: None).text("verilog", "x", "top.v", lambda: time.sleep(SECONDS) or "")


def test_what_a_killed_build_leaves_is_removed(tmp_path: Path):
    process = multiprocessing.get_context("spawn").Process(target=_build_and_hang, args=(tmp_path,))
    process.start()
    until = time.monotonic() + SECONDS
    while not (found := list(tmp_path.glob(f"{PRIVATE}*/1"))) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(found) == 1
    other = Builder(tmp_path, "a")
    other.start()
    other.wait()
    assert found[0].is_dir()  # its build lives
    process.kill()
    process.join(SECONDS)
    for _ in range(Builder.STRIDES):
        other.advance()
    assert other.failure == ""
    third = Steps(tmp_path, ["verilog"], lambda _: None)
    assert third.text("verilog", "c", "top.v", lambda: "c") == "c"
    third.settle()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["board.txt", RECORD, "top.v"]


def test_a_lock_that_is_held_is_waited_for_and_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(steps_module, "LOCK_SECONDS", 0.2)
    handle = try_lock(tmp_path / LOCK)
    assert handle is not None
    steps = Steps(tmp_path, ["write"], lambda _: None)
    with pytest.raises(TimeoutError, match=r"has held this lock for 0 s; end it, or use another folder.*steps\.lock"):
        steps.files("write", "k", lambda part: None)
    os.close(handle)
    assert not list(tmp_path.glob(f"{PRIVATE}*/{OWNER}"))


def test_a_lock_excludes_and_leaves_nothing(tmp_path: Path):
    path, inside, most = tmp_path / "lock", [0], [0]

    def enter() -> None:
        for _ in range(20):
            with locked(path, SECONDS):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                inside[0] -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert (most, list(tmp_path.iterdir())) == ([1], [])


ARCHS = {"one": "base: sim\ntoken_lanes: 1\n", "two": "base: sim\nload_queue: 8\n"}


def _start(place: Path, arch: str, output: str) -> subprocess.Popen[bytes]:
    (place / f"{arch}.yaml").write_text(ARCHS[arch])
    words = ["build", "--board", "sim", "--arch", f"{arch}.yaml", "-o", output]
    return subprocess.Popen([sys.executable, "-m", "hwgen", *words], cwd=place, stdout=subprocess.DEVNULL)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_builds_of_the_command_line(tmp_path: Path):
    processes = [_start(tmp_path, name, "both") for name in ARCHS]
    assert [process.wait(600) for process in processes] == [0, 0]
    found = _contents(tmp_path / "both")
    last = json.loads(found["models/m3vit-micro/summary.json"])["arch"]["name"]
    assert last in ARCHS
    assert _start(tmp_path, last, "alone").wait(600) == 0
    assert found == _contents(tmp_path / "alone")
