"""hwgen quantize: package, table, JSON, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwgen import cli
from hwgen.frontend.store import load_float, load_model


def run(*arguments: str) -> int:
    return cli.guarded(lambda: cli.app(list(arguments), standalone_mode=False))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    return folder


def test_quantise_with_pictures(tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]):
    report = tmp_path / "report.json"
    assert run("quantize", "m3vit-micro", "--calib", str(pictures), "--calib-images", "1", "-o", str(tmp_path / "out"),
               "--json", str(report)) == 0  # fmt: skip
    found = json.loads(report.read_text())
    ratios = [line["format_db"] for line in found["tensors"]]
    assert ratios == sorted(ratios)
    assert len(ratios) == 73
    assert found["checked_on"] == "the folder's next picture"
    assert found["provenance"]["calibration_images"] == 1
    package = tmp_path / "out" / "m3vit-micro.safetensors"
    assert found["package"] == str(package)
    new, old = load_model(str(package)), load_model("m3vit-micro")
    assert new.sha256() != old.sha256()
    assert set(load_float(str(package))) >= {"position", "blocks.0.query.weight"}
    text = capsys.readouterr().out
    assert text.splitlines()[1].split()[0] == found["tensors"][0]["name"]
    assert f"the 20 most damaged of {len(ratios)} tensors, on the folder's next picture" in text


def test_generated_scenes_when_no_folder_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("quantize", "m3vit-micro", "--calib-images", "1", "-o", str(tmp_path)) == 0
    text = capsys.readouterr().out
    assert "on a generated scene that set no scale" in text
    assert "calibrated on 1 generated scenes" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m3vit-micor"], "unknown model 'm3vit-micor'; did you mean 'm3vit-micro'?"),
        (["m3vit-micro", "--calib", "nowhere"], "--calib nowhere: no such folder"),
        (["m3vit-micro", "--json", "nowhere/report.json"], "folder nowhere does not exist"),
    ],
)
def test_refusals(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("quantize", *arguments, "-o", str(tmp_path / "out")) == cli.BAD_INPUT
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "out").exists()
