"""The commands as a user types them: output, JSON and exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen.spec.board import board_names
from hwgen.spec.presets import MODELS


def hwgen(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the program in ``folder``."""
    command = [sys.executable, "-m", "hwgen.cli", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)


def test_doctor_finds_the_tools(tmp_path: Path):
    result = hwgen("doctor", "--json", "out.json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["missing"] == []
    assert {"g++", "make", "perl", "verilator", "cocotb", "amaranth"} <= {item["tool"] for item in data["tools"]}


def test_models_lists_every_network(tmp_path: Path):
    result = hwgen("models", "--json", "out.json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["models"]
    assert [row["name"] for row in rows] == list(MODELS)
    assert all(name in result.stdout for name in MODELS)
    assert {row["name"]: row["tokens"] for row in rows} == {
        "m3vit-micro": 65,
        "m3vit-tiny": 129,
        "vit-tiny": 197,
        "deit-tiny": 197,
    }


def test_boards_lists_every_board(tmp_path: Path):
    result = hwgen("boards", "--json", "out.json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["boards"]
    assert [row["name"] for row in rows] == board_names()
    assert {"sim", "zcu102"} <= {row["name"] for row in rows}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("models", "--json", "missing/out.json"), "folder missing does not exist"),
        (("boards", "--json", "."), "is a folder; give a file name"),
    ],
)
def test_bad_input_is_explained(tmp_path: Path, words: tuple[str, ...], says: str):
    result = hwgen(*words, folder=tmp_path)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []
