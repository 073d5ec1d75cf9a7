"""hwgen evaluate: one table of float, golden and RTL; the machine is one that makes no mistake, or one that does."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from golden.reference.scenes import HELD_OUT_FIRST_SEED, draw_scenes
from hwgen import accuracy
from hwgen.cli import main as cli
from hwgen.cli.evaluate import COLUMNS, row_cells
from hwgen.driver.device import MachineError
from hwgen.frontend.evaluate import float_quality, integer_quality
from hwgen.frontend.store import load_float, load_model
from hwgen.spec.isa import ErrorCode
from tests.perfect_machine import perfect_result, without_simulator

PAGE = Path(__file__).parents[2] / "docs" / "figures.md"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Replace what is slow, and work in an empty folder. ``fault``: what to do to every run."""
    state: dict[str, Any] = {"fault": lambda run: run, "images": [], "calls": 0}

    def simulate(verilog: str, arch: Any, board: Any, compiled: Any, images: Any, tasks: Any, options: Any) -> Any:
        state["images"] += list(images)
        state["calls"] += 1
        result = perfect_result(load_model(compiled.config.name), compiled, images, tasks)
        return replace(result, runs=tuple(state["fault"](run) for run in result.runs))

    without_simulator(monkeypatch, simulate)
    monkeypatch.chdir(tmp_path)
    return state


def run(*words: str) -> int:
    """Exit code of a command."""
    try:
        return cli.guarded(lambda: cli.app(["evaluate", *words]))
    except SystemExit as end:
        return int(end.code or 0)


def test_one_table_of_three_models(machine: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--scenes", "3", "--rtl-scenes", "2", "--json", "out.json") == 0
    data = json.loads(Path("out.json").read_text())
    rows = {(row["model"], row["scenes"]): row for row in data["rows"]}
    assert list(rows) == [("float", 3), ("golden", 3), ("float", 2), ("golden", 2), ("RTL", 2)]
    scenes = draw_scenes(range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + 3))
    package = load_model("m3vit-micro")
    real = float_quality(load_float("m3vit-micro"), package.config, scenes)
    assert rows["float", 3]["quality"]["miou"] == real.miou
    assert rows["golden", 3]["quality"]["depth_rmse"] == integer_quality(package, scenes).depth_rmse
    assert rows["golden", 2]["quality"] == rows["RTL", 2]["quality"] != rows["float", 2]["quality"]
    assert (rows["RTL", 2]["values"], rows["RTL", 2]["mismatches"]) == (2 * 469_088, 0)
    assert all(np.array_equal(got, scene.image) for got, scene in zip(machine["images"], scenes, strict=False))
    assert "equals golden in all 938,176 values of its 2 scenes" in capsys.readouterr().out


def test_scenes_go_through_the_machine_in_batches(machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("--scenes", "1", "--rtl-scenes", "3", "--json", "whole.json") == 0
    monkeypatch.setattr(accuracy, "BATCH_SCENES", 2)
    assert run("--scenes", "1", "--rtl-scenes", "3", "--json", "parts.json") == 0
    assert machine["calls"] == 3
    assert Path("whole.json").read_text() == Path("parts.json").read_text()


def test_no_line_twice(machine: dict[str, Any]) -> None:
    assert run("--scenes", "2", "--rtl-scenes", "2", "--json", "out.json") == 0
    rows = json.loads(Path("out.json").read_text())["rows"]
    assert [(row["model"], row["scenes"]) for row in rows] == [("float", 2), ("golden", 2), ("RTL", 2)]


def test_what_the_machine_writes_is_what_is_scored(machine: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Codes that are wrong in memory only: the score of the RTL falls, and the exit code is one."""
    machine["fault"] = lambda run: replace(run, data=np.roll(run.data, 1, axis=0))
    assert run("--scenes", "1", "--rtl-scenes", "1", "--json", "out.json") == 1
    rows = {row["model"]: row for row in json.loads(Path("out.json").read_text())["rows"]}
    assert rows["RTL"]["quality"]["miou"] < rows["golden"]["quality"]["miou"] - 0.1
    assert rows["RTL"]["quality"]["depth_rmse"] > 1.2 * rows["golden"]["quality"]["depth_rmse"]
    assert rows["RTL"]["mismatches"] > 1000
    assert "differs from golden in" in capsys.readouterr().out


def test_a_machine_that_stops_is_exit_code_one(machine: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    def stop(run: Any) -> Any:
        raise MachineError(int(ErrorCode.WATCHDOG), 17, run.task)

    machine["fault"] = stop
    assert run("--scenes", "1", "--rtl-scenes", "1") == 1
    assert "WATCHDOG" in capsys.readouterr().err


def test_without_the_verilog(machine: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("m3vit-micro", "--scenes", "1", "--rtl-scenes", "0") == 0
    assert machine["calls"] == 0
    out = capsys.readouterr().out
    assert "RTL" in out.splitlines()[2]  # the heading of the last column
    assert "the Verilog was not run" in out


def test_four_bit_weights(machine: dict[str, Any]) -> None:
    """The golden line is that of the package with four-bit experts."""
    assert run("--scenes", "2", "--rtl-scenes", "0", "--weights", "experts=4", "--json", "out.json") == 0
    rows = {row["model"]: row["quality"] for row in json.loads(Path("out.json").read_text())["rows"]}
    scenes = draw_scenes(range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + 2))
    narrow = load_model(
        "m3vit-micro",
        int4=("blocks.1.experts.fc1", "blocks.1.experts.fc2", "blocks.3.experts.fc1", "blocks.3.experts.fc2"),
    )
    assert rows["golden"]["depth_rmse"] == integer_quality(narrow, scenes).depth_rmse
    assert rows["golden"] != integer_quality(load_model("m3vit-micro"), scenes)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("deit-tiny",), "deit-tiny: has the tasks class (classification, 1000); the scenes have labels for"),
        (("m3vit-micro", "--model", "m3vit-tiny"), "give the network once"),
        (("m3vit-micor",), "did you mean 'm3vit-micro'"),
        (("--json", "none/out.json"), "folder none does not exist"),
    ],
)
def test_bad_input_is_exit_code_two(
    machine: dict[str, Any], words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    assert says in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_the_table_of_the_document_is_what_is_measured() -> None:
    """Its 10 scenes again, on float and golden; the RTL's row must be golden's."""
    fenced = PAGE.read_text().split("<!-- hwgen evaluate -->")[1].split("<!-- end of accuracy -->")[0]
    lines = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in fenced.strip().splitlines()]
    assert lines[0] == ("model", *COLUMNS)
    assert [(line[0], line[1]) for line in lines[2:]] == [
        ("float", "200"), ("golden", "200"), ("float", "10"), ("golden", "10"), ("RTL", "10"),
    ]  # fmt: skip
    scenes = draw_scenes(range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + 10))
    package = load_model("m3vit-micro")
    real = float_quality(load_float("m3vit-micro"), package.config, scenes)
    found = accuracy.Row(model="golden", scenes=10, quality=integer_quality(package, scenes))
    assert lines[4] == row_cells(accuracy.Row(model="float", scenes=10, quality=real))
    assert lines[5] == row_cells(found)
    assert lines[6][:4] == ("RTL", *lines[5][1:4])
    assert lines[6][4:] == (f"{10 * 469_088:,}", "0")
