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


def test_four_bit_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The package says which layers have them, and what they cost is in table and JSON."""
    report = tmp_path / "report.json"
    words = ("quantize", "m3vit-micro", "--calib-images", "1", "--weights", "experts=4", "--json", str(report))
    assert run(*words, "-o", str(tmp_path)) == 0
    package = load_model(str(tmp_path / "m3vit-micro.safetensors"))
    assert len(package.config.int4) == 4
    found = json.loads(report.read_text())["four_bit_weights"]
    assert [line["name"] for line in found] == [
        *(f"{layer}.weight" for layer in package.config.int4),
        "heads.seg",
        "heads.depth",
    ]
    assert all(line["loss_db"] > 15 for line in found[:4])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["heads.seg", *(f"{found[4][key]:.1f}" for key in ("narrow_db", "wide_db", "loss_db"))] in lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m3vit-micro", "--weights", "expert=4"], "--weights expert=4: m3vit-micro has no layers 'expert'"),
        (["m3vit-micor"], "unknown model 'm3vit-micor'; did you mean 'm3vit-micro'?"),
        (["m3vit-micro", "--calib", "nowhere"], "--calib nowhere: no such folder"),
        (["m3vit-micro", "--json", "nowhere/report.json"], "folder nowhere does not exist"),
    ],
)
def test_refusals(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("quantize", *arguments, "-o", str(tmp_path / "out")) == cli.BAD_INPUT
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "out").exists()
