"""The commands as a user types them: output, JSON and exit codes."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hwgen.cli import main as cli
from hwgen.spec.presets import MODELS
from hwgen.spec.weight_bits import with_weight_bits
from hwgen.store.boards import board_names
from hwgen.store.packages import save_package
from tests.golden.random_package import MINI, random_package


def hwgen(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in ``folder``."""
    command, env = [sys.executable, "-m", "hwgen", *words], os.environ | environment
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False)


def test_doctor_finds_the_tools(tmp_path: Path):
    result = hwgen("doctor", "--json", "out.json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["missing"] == []
    assert {"g++", "make", "perl", "verilator", "cocotb", "amaranth"} <= {item["tool"] for item in data["tools"]}


def test_doctor_says_how_to_install_what_is_missing(tmp_path: Path):
    result = hwgen("doctor", "--json", "out.json", folder=tmp_path, PATH=str(tmp_path))
    assert result.returncode == 2
    missing = json.loads((tmp_path / "out.json").read_text())["missing"]
    assert {"git", "g++", "make", "perl"} <= set(missing)
    lines = [line for line in result.stderr.splitlines() if line.startswith("missing: ")]
    assert len(lines) == len(missing)
    assert all("install" in line for line in lines)
    assert "Traceback" not in result.stderr


def test_models_lists_every_network(tmp_path: Path):
    result = hwgen("models", "--json", "out.json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["models"]
    assert [row["name"] for row in rows] == list(MODELS)
    assert all(name in result.stdout for name in MODELS)
    assert {row["name"]: row["tokens"] for row in rows} == {
        "m3vit-micro": 65,
        "m3vit-tiny": 129,
        "m3vit-tiny-197": 197,
        "vit-tiny": 197,
        "vit-tiny-384": 577,
        "deit-tiny": 197,
        "deit-small": 197,
        "deit-base": 197,
        "vit-base": 197,
        "dinov2-small": 257,
    }


def test_boards_lists_every_board(tmp_path: Path):
    result = hwgen("boards", "--json", "out.json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["boards"]
    assert [row["name"] for row in rows] == board_names()
    assert {"sim", "zcu102"} <= {row["name"] for row in rows}


def test_estimate_says_when_each_instruction_runs(tmp_path: Path):
    result = hwgen("estimate", "--board", "zcu102", "--json", "out.json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    data = json.loads((tmp_path / "out.json").read_text())
    assert (data["model"], data["board"], data["arch"]) == ("m3vit-tiny", "zcu102", "zcu102")
    assert 380_000 < data["cycles"] < 500_000
    assert max(item["end_cycle"] for item in data["instructions"]) == data["cycles"]
    assert sum(item["macs"] for item in data["instructions"]) == data["macs"]


def test_estimate_says_where_the_cycles_go(capsys: pytest.CaptureFixture[str]):
    """A line a branch and a line a kind; every instruction when it is asked for."""
    words = ("estimate", "--board", "sim", "--model", "m3vit-micro", "--task", "all")
    assert cli.guarded(lambda: cli.app(list(words), standalone_mode=False)) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [line.split()[0] for line in lines if line.rstrip().endswith("%") and line.startswith(" ")]
    branches = [f"blocks.{n}.{name}" for n in range(4) for name in ("attention", "moe" if n % 2 else "mlp")]
    for task in ("seg", "depth"):
        start = found.index("patch_embed") if task == "seg" else found.index("all") + 1
        assert found[start : start + 10] == ["patch_embed", *branches, f"heads.{task}"]
    assert "Instructions that multiply" not in "".join(lines)
    assert cli.guarded(lambda: cli.app([*words, "--instructions"], standalone_mode=False)) == 0
    assert "blocks.3.scores.1" in capsys.readouterr().out


def test_estimate_with_four_bit_weights(tmp_path: Path):
    """Half the bytes of the experts, and no more cycles than with eight bits."""
    found = []
    for extra in ((), ("--weights", "experts=4")):
        result = hwgen("estimate", "--board", "zcu102", "--json", "out.json", *extra, folder=tmp_path)
        assert result.returncode == 0, result.stderr
        found.append(json.loads((tmp_path / "out.json").read_text()))
    assert "m3vit-tiny (experts=4) on AMD Zynq" in result.stdout
    wide, narrow = found
    experts = 6 * 16 * 2 * 192 * 384
    assert wide["ddr_read_bytes"] - narrow["ddr_read_bytes"] == experts // 2
    assert narrow["cycles"] < wide["cycles"]


def test_a_package_file_has_its_own_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "mini.safetensors"
    save_package(random_package(with_weight_bits(replace(MINI, image_width=32), "experts=4")), path)
    words = ("estimate", "--board", "zcu102", "--model", str(path))
    assert cli.guarded(lambda: cli.app(list(words), standalone_mode=False)) == 0
    assert "mini (experts=4) on" in capsys.readouterr().out
    assert cli.guarded(lambda: cli.app([*words, "--weights", "experts=8"], standalone_mode=False)) == 2
    error = capsys.readouterr().err.replace("\n", " ")
    assert f"have the bits that they were quantised to; make another package with hwgen quantize {path}" in error


def test_estimate_takes_a_machine_from_a_file(tmp_path: Path):
    (tmp_path / "half.yaml").write_text("base: sim\ntoken_lanes: 1\n")
    words = ("estimate", "--board", "sim", "--model", "m3vit-micro", "--json", "out.json")
    cycles = {}
    for arch in ("half.yaml", "sim"):
        result = hwgen(*words, "--arch", arch, folder=tmp_path)
        assert result.returncode == 0, result.stderr
        cycles[arch] = json.loads((tmp_path / "out.json").read_text())["cycles"]
    assert 1.5 < cycles["half.yaml"] / cycles["sim"] < 2.5


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("estimate", "--board", "zcu120"), "unknown board 'zcu120'; did you mean 'zcu102'?"),
        (("estimate", "--board", "sim", "--model", "m3vit-mikro"), "did you mean 'm3vit-micro'?"),
        (("estimate", "--board", "sim", "--arch", "simm"), "unknown arch 'simm'; did you mean 'sim'?"),
        (("estimate", "--board", "sim", "--arch", "none.yaml"), "none.yaml: no such file"),
        (("estimate", "--board", "sim"), "position: tokens 129, this arch takes 65; set max_tokens >= 129"),
        (("build", "--board", "sim", "--model", "m3vit-tiny"), "set max_channels >= 192"),
        (("estimate", "--board", "zcu102", "--task", "segm"), "m3vit-tiny has the tasks seg, depth; give one of them"),
        (
            ("estimate", "--board", "zcu102", "--weights", "experts=5"),
            "--weights experts=5: 'experts=5': give WHAT=4 or",
        ),
        (
            ("verify", "--board", "zcu102", "--weights", "x=4"),
            "--weights x=4: m3vit-micro has no layers 'x'; give a kind",
        ),
        (("models", "--json", "missing/out.json"), "folder missing does not exist"),
        (("boards", "--json", "."), "is a folder; give a file name"),
    ],
)
def test_bad_input_is_explained(
    tmp_path: Path,
    words: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    assert cli.guarded(lambda: cli.app(list(words))) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
