"""Builds are cached by content, survive interruptions, and failures say why."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import sim.runner
from sim.runner import VERILATED, Build, BuildError, SimulationError, build, run, share_done, take_runtime

TINY = """module tiny #(parameter int VALUE = 7);
  int value /*verilator public_flat_rd*/;
  initial value = VALUE;
endmodule
"""


def source(folder: Path, text: str = TINY) -> Path:
    path = folder / "tiny.sv"
    path.write_text(text)
    return path


def value_of(built: Build, folder: Path) -> int:
    run(built, "tests.sim.tiny_cocotb", folder, seconds=60)
    return int((folder / "value.txt").read_text())


@pytest.fixture(scope="module")
def builds(build_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Build]:
    path = source(tmp_path_factory.mktemp("tiny"))
    small, large = (build([path], "tiny", root=build_root, parameters={"VALUE": value}) for value in (42, 100))
    return small, large


def test_equal_content_is_built_once_and_parameters_differ(builds: tuple[Build, Build], tmp_path: Path):
    again = build([source(tmp_path)], "tiny", root=builds[0].folder.parent, parameters={"VALUE": 42})
    assert again.cached
    assert again.folder == builds[0].folder != builds[1].folder
    assert value_of(again, tmp_path / "a") == 42


def test_a_build_says_how_far_it_is(builds: tuple[Build, Build], tmp_path: Path):
    for runtime in builds[0].folder.parent.glob("runtime-*"):
        (tmp_path / runtime.name).symlink_to(runtime)
    said: list[float] = []
    built = build([source(tmp_path)], "tiny", root=tmp_path, parameters={"VALUE": 41}, share=said.append)
    assert not built.cached
    assert said == sorted(said)
    assert said[-1] >= VERILATED
    assert all(0 <= share < 1 for share in said)
    said.clear()
    assert build([source(tmp_path)], "tiny", root=tmp_path, parameters={"VALUE": 41}, share=said.append).cached
    assert not said


@pytest.mark.parametrize("damage", ["no record", "a record of nothing", "zeros", "half", "gone", "nothing", "not ours"])
def test_a_damaged_simulator_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str):
    def verilate(runner: object, sources: object, top: str, flags: object, folder: Path, *others: object) -> None:
        folder.mkdir()
        (folder / top).write_text("a simulator")
        (folder / top).chmod(0o755)

    monkeypatch.setattr(sim.runner, "_verilate", verilate)
    folder = build([source(tmp_path)], "tiny", root=tmp_path / "root").folder
    simulator, record = folder / "tiny", folder / "build.json"
    damages: dict[str, Callable[[], object]] = {
        "no record": lambda: record.write_bytes(b"\xe8" * 100),
        "a record of nothing": lambda: record.write_text("[]"),
        "zeros": lambda: simulator.write_bytes(bytes(simulator.stat().st_size)),
        "half": lambda: os.truncate(simulator, simulator.stat().st_size // 2),
        "gone": simulator.unlink,
        "not ours": lambda: simulator.chmod(0o644),
        "nothing": lambda: None,
    }
    damages[damage]()
    again = build([source(tmp_path)], "tiny", root=tmp_path / "root")
    assert (again.cached, again.folder, simulator.read_text()) == (damage == "nothing", folder, "a simulator")
    assert build([source(tmp_path)], "tiny", root=tmp_path / "root").cached


def test_a_place_may_have_a_blank_in_its_name(builds: tuple[Build, Build], tmp_path: Path):
    root = tmp_path / "a place" / "of builds"  # make itself cannot build there
    for runtime in builds[0].folder.parent.glob("runtime-*"):
        shutil.copytree(runtime, root / runtime.name)
    built = build([source(tmp_path)], "tiny", root=root, parameters={"VALUE": 42})
    assert (built.cached, built.folder) == (False, root / builds[0].folder.name)
    assert value_of(built, tmp_path / "a") == 42
    assert not [path.name for path in root.iterdir() if path.name.startswith(".")]


def test_a_damaged_library_is_made_again(builds: tuple[Build, Build], tmp_path: Path):
    kept = next(builds[0].folder.parent.glob("runtime-*"))
    runtime = shutil.copytree(kept, tmp_path / "runtime")
    take_runtime(runtime, tmp_path / "whole")
    assert (tmp_path / "whole" / "verilated.o").read_bytes() == (kept / "verilated.o").read_bytes()
    os.truncate(runtime / "verilated.o", 1000)
    take_runtime(runtime, tmp_path / "damaged")
    assert list((tmp_path / "damaged").iterdir()) == []
    assert not runtime.exists()
    take_runtime(runtime, tmp_path / "none")
    assert list((tmp_path / "none").iterdir()) == []


def test_the_share_of_a_build_counts_bytes_that_are_compiled(tmp_path: Path):
    (tmp_path / "one.cpp").write_text("x" * 30)
    assert share_done(tmp_path) == 0  # still being written
    (tmp_path / "Vtop.mk").touch()
    (tmp_path / "two.cpp").write_text("x" * 10)
    assert share_done(tmp_path) == VERILATED
    (tmp_path / "one.o").touch()
    assert share_done(tmp_path) == VERILATED + (1 - VERILATED) * 0.75
    (tmp_path / "two.o").touch()
    assert share_done(tmp_path) == 1


def test_a_failing_test_and_a_missing_one_are_errors(builds: tuple[Build, Build], tmp_path: Path):
    with pytest.raises(SimulationError, match="assert 100 < 100"):
        value_of(builds[1], tmp_path / "a")
    with pytest.raises(SimulationError, match="no_such_module"):
        run(builds[0], "tests.sim.no_such_module", tmp_path / "b", seconds=60)


def test_a_simulation_that_never_ends_is_killed(builds: tuple[Build, Build], tmp_path: Path):
    with pytest.raises(SimulationError, match="not finished after 3 s"):
        run(builds[0], "tests.sim.endless_cocotb", tmp_path / "a", seconds=3)


def test_a_broken_source_is_a_build_error_and_leaves_nothing(tmp_path: Path):
    with pytest.raises(BuildError, match="syntax error"):
        build([source(tmp_path, "module tiny;\n  wire wire;\nendmodule\n")], "tiny", root=tmp_path / "builds")
    assert not list((tmp_path / "builds").glob("tiny-*"))


def test_an_interrupted_build_is_made_again_by_one_of_two_processes(builds: tuple[Build, Build], tmp_path: Path):
    root = tmp_path / "builds"
    root.mkdir()
    for runtime in builds[0].folder.parent.glob("runtime-*"):
        (root / runtime.name).symlink_to(runtime)
    broken = root / builds[0].folder.name
    for folder in (broken, root / f".{broken.name}.part"):  # killed while it was moved, or made
        folder.mkdir()
        (folder / "Vtop.mk").write_text("half of a makefi")
    code = (
        "import sys; from pathlib import Path; from sim.runner import build;"
        f"b = build([Path({str(source(tmp_path))!r})], 'tiny', root=Path({str(root)!r}), parameters={{'VALUE': 42}});"
        "print(b.cached, b.folder)"
    )
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env) for _ in "12"]
    said = sorted(process.communicate(timeout=300)[0].strip() for process in both)
    assert said == [f"False {broken}", f"True {broken}"]
    assert not (root / f".{broken.name}.part").exists()
    assert value_of(replace(builds[0], folder=broken), tmp_path / "a") == 42
