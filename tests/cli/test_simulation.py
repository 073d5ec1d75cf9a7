"""The commands with the real machine: Verilog, Verilator, and every tensor compared."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hwgen.store.archs import arch_preset

ROOT = Path(__file__).parents[2]  # simulators are cached below build/ of the working folder
FOLDER = ROOT / "build" / "test-cli"


def verify(out: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON and output of ``hwgen verify --board sim``."""
    command = [
        sys.executable,
        "-m",
        "hwgen",
        "verify",
        "--board",
        "sim",
        "-o",
        str(FOLDER),
        "--json",
        str(out),
    ]
    done = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    return done.returncode, json.loads(out.read_text()) if out.is_file() else {}, done.stdout + done.stderr


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of both tasks on one scene, and the picture's size."""
    folder = tmp_path_factory.mktemp("good")
    picture = folder / "maps.png"
    code, report, text = verify(folder / "out.json", "--task", "all", "--picture", str(picture))
    assert code == 0, text
    with Image.open(picture) as image:
        assert image.width > 5 * 256
    return report


def test_every_tensor_of_both_tasks_is_equal(good: dict[str, Any]):
    assert good["compared"]["mismatches"] == 0
    assert good["compared"]["values"] > 400_000
    assert good["compared"]["tensors"] == len(good["tensors"]) == 100
    assert all(line["mismatches"] == 0 for line in good["tensors"])


def test_the_figures_fit_each_other(good: dict[str, Any]):
    arch = arch_preset("sim")
    assert good["mac_utilisation"] == pytest.approx(good["macs"] / (arch.macs * good["cycles"]))
    assert 0.3 < good["mac_utilisation"] < 1
    assert good["cycles"] == sum(item["cycles"] for item in good["passes"])
    assert sum(item["macs"] for item in good["instructions"]) == good["macs"]
    starts = [item["start_cycle"] for item in good["instructions"] if item["start_cycle"] is not None]
    assert len(starts) > 0.9 * len(good["instructions"])
    assert (
        max(item["end_cycle"] or 0 for item in good["instructions"]) <= max(p["cycles"] for p in good["passes"]) + 500
    )
    for item in good["passes"]:
        assert 16 * item["counters"]["READ_BEATS"] == item["ddr_read_bytes"]
        assert 16 * item["counters"]["WRITE_BEATS"] == item["ddr_write_bytes"]


def test_a_spoilt_weight_is_noticed_where_it_is_used(good: dict[str, Any], tmp_path: Path):
    code, report, text = verify(tmp_path / "out.json", "--self-test")
    assert code == 0, text
    assert report["caught"] is True
    assert report["first_mismatch"]["tensor"] == "blocks.0.query"
    page = (ROOT / "docs" / "find-a-mismatch.md").read_text()
    assert f"first mismatch: {report['first_mismatch']['text']}\n" in page
    assert f", {report['compared']['mismatches']:,} mismatches" in page
    right = [line["name"] for line in report["tensors"] if not line["mismatches"]]
    assert right[:2] == ["patch_embed", "blocks.0.norm1"]


def test_the_accuracy_of_the_verilog_is_golden_s(tmp_path: Path):
    out = tmp_path / "out.json"
    command = [
        sys.executable,
        "-m",
        "hwgen",
        "evaluate",
        "--board",
        "sim",
        "-o",
        str(FOLDER),
        "--json",
        str(out),
    ]
    command += ["--scenes", "2", "--rtl-scenes", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {(row["model"], row["scenes"]): row for row in json.loads(out.read_text())["rows"]}
    assert rows["RTL", 1]["quality"] == rows["golden", 1]["quality"]
    assert (rows["RTL", 1]["values"], rows["RTL", 1]["mismatches"]) == (469_088, 0)
    assert 0.8 < rows["RTL", 1]["quality"]["miou"] < 1.0
