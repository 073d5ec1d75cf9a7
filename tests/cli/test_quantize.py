"""hwgen quantize: package, table, JSON, and what it refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from hwgen.cli import main as cli
from hwgen.frontend.rule_choice import best_rule
from hwgen.frontend.store import load_float, load_model, weights_sha256
from hwgen.store.packages import save_package


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


MSE = ("--calibration-rule", "mse")


def test_rules_correction_and_overrides_reach_package_and_provenance(tmp_path: Path, pictures: Path):
    """Every option changes the package and is kept in its provenance, with the number of images."""
    overrides, report = tmp_path / "overrides.yaml", tmp_path / "report.json"
    overrides.write_text("blocks.2.hidden: {scale: 0.0625}\n")
    words = ("quantize", "m3vit-micro", "--calib", str(pictures), "--calib-images", "2", "--json", str(report))
    found = {}
    for label, options, rule in (
        ("mse", MSE, {"rule": "mse", "headroom": 1.5}),
        ("min-max", ("--calibration-rule", "min-max"), {"rule": "min-max"}),
        (
            "99.9",
            ("--calibration-rule", "percentile", "--percentile", "99.9"),
            {"rule": "percentile", "percentile": 99.9},
        ),
        ("percentile", ("--calibration-rule", "percentile"), {"rule": "percentile", "percentile": 99.99}),
        ("bias", (*MSE, "--bias-correction"), {"rule": "mse", "headroom": 1.5}),
        ("overrides", (*MSE, "--overrides", str(overrides)), {"rule": "mse", "headroom": 1.5}),
    ):
        assert run(*words, *options, "-o", str(tmp_path / label)) == 0
        found[label] = load_model(str(tmp_path / label / "m3vit-micro.safetensors"))
        provenance = found[label].provenance
        assert json.loads(report.read_text())["provenance"] == provenance
        assert provenance["calibration_rule"] == rule
        assert provenance["calibration_images"] == 2
        assert "calibration_choice" not in provenance
        assert provenance["bias_correction"] is (label == "bias")
    assert len({package.sha256() for package in found.values()}) == 6
    hidden = {label: package.scales["blocks.0.hidden"] for label, package in found.items()}
    assert hidden["99.9"] < hidden["percentile"] < hidden["min-max"]
    assert found["bias"].scales == found["mse"].scales
    assert found["overrides"].scales["blocks.2.hidden"] == 0.0625
    assert found["overrides"].provenance["overrides"] == {"blocks.2.hidden": {"scale": 0.0625}}


def test_the_rule_is_chosen_on_held_out_pictures(tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]):
    """Kept in the provenance; with a single picture the default is taken, and a note says so."""
    words = ("quantize", "m3vit-micro", "--calib", str(pictures), "-o", str(tmp_path))
    assert run(*words, "--calib-images", "2") == 0
    about = load_model(str(tmp_path / "m3vit-micro.safetensors")).provenance
    choice = about["calibration_choice"]
    assert choice["chosen_by"] == "held-out pictures"
    assert choice["judged"] == [1]
    best = best_rule(choice["mean_db"])
    assert about["calibration_rule"]["rule"] == best
    assert set(choice["mean_db"]) == {"mse", "percentile", "min-max"}
    said = f"calibration rule {best}, chosen on 1 held-out pictures: mse {choice['mean_db']['mse']:.1f} dB"
    assert f"note: {said}" in capsys.readouterr().out
    assert any(note.startswith(said) for note in about["notes"])
    assert run(*words, "--calib-images", "1") == 0
    about = load_model(str(tmp_path / "m3vit-micro.safetensors")).provenance
    assert "calibration_choice" not in about
    assert about["calibration_rule"]["rule"] == "mse"
    assert "note: a single calibration picture cannot judge the rules: mse was taken" in capsys.readouterr().out


def test_a_picture_that_leaves_the_ranges_is_warned_of(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
):
    """Scales from flat grey pictures, checked on noise; then from noise, where nothing is left."""
    report, grey = tmp_path / "report.json", tmp_path / "grey"
    grey.mkdir()
    for number, level in enumerate((120, 136)):
        Image.new("RGB", (64, 64), (level, level, level)).save(grey / f"{number}.png")
    (pictures / "0.png").rename(grey / "2.png")
    words = ("quantize", "m3vit-micro", *MSE, "--calib-images", "2", "-o", str(tmp_path), "--json", str(report))
    assert run(*words, "--calib", str(grey)) == 0
    found = [said for said in json.loads(report.read_text())["warnings"] if "calibrated range of" in said]
    assert [said.split(" leaves")[0] for said in found] == [
        f"the folder's next picture, task {task}," for task in ("seg", "depth")
    ]
    assert " values outside, up to " in found[0]
    assert all(f"warning: {said}" in capsys.readouterr().err for said in found[:1])
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(1, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"{seed}.png")
    assert run(*words, "--calib", str(pictures)) == 0
    assert json.loads(report.read_text())["warnings"] == []


def test_dark_pictures_are_warned_of(tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]):
    """One of the two that calibrate, and the one that is checked."""
    report = tmp_path / "report.json"
    pixels = np.random.default_rng(5).integers(1, 256, (64, 64, 3), dtype=np.uint8)
    pixels[:, :32] = 0
    for name in ("1.png", "2.png"):
        Image.fromarray(pixels).save(pictures / name)
    assert run("quantize", "m3vit-micro", "--calib", str(pictures), "--calib-images", "2", "-o", str(tmp_path / "out"),
               "--json", str(report)) == 0  # fmt: skip
    found = [said for said in json.loads(report.read_text())["warnings"] if "pixel values are 0" in said]
    assert [said.split(":")[0] for said in found] == ["1 of 2 calibration pictures", "1 of 1 checked pictures"]
    assert all("50.0 %, 6,144 values" in said for said in found)
    err = capsys.readouterr().err
    assert all(f"warning: {said}" in err for said in found)


def _damaged(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> str:
    """A package and its float weights, changed and with a digest that agrees."""
    package, arrays = load_model("m3vit-micro"), dict(load_float("m3vit-micro"))
    change(arrays)
    path = folder / "net.safetensors"
    save_package(replace(package, provenance={**package.provenance, "weights_sha256": weights_sha256(arrays)}), path)
    save_file(arrays, folder / "net.float.safetensors", metadata={"hwgen.float": "{}"})
    return str(path)


def _set(name: str, index: tuple[int, ...], value: float) -> Callable[[dict[str, np.ndarray]], object]:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][index] = value

    return change


def _kill(*names: str) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda arrays: arrays.update({name: np.zeros_like(arrays[name]) for name in names})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("blocks.0.fc1.weight", (3, 4), np.nan), "blocks.0.fc1.weight holds NaN or infinite values"),
        (_set("blocks.1.experts.fc2.bias", (3, 4), np.inf), "blocks.1.experts.fc2.bias holds NaN or infinite values"),
        (_set("blocks.1.experts.fc1.weight", (2, 5), 0.25),
         "blocks.1.experts.fc1.weight: the weights of 1 of 1024 channels are the same for every input (zero variance),"
         " the first is [2, 5]"),
        (lambda arrays: arrays.update({"norm.bias": arrays["norm.bias"][:-1].copy()}),
         "norm.bias has shape [63], expected [64]"),
        (_kill("blocks.2.norm1.weight", "blocks.2.norm1.bias"),
         "blocks.2.norm1 is zero on all 2 calibration images: a dead activation range has no scale"),
    ],
)  # fmt: skip
def test_bad_weights_are_named_and_leave_no_file(
    change: Callable[[dict[str, np.ndarray]], object],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    name = _damaged(tmp_path, change)
    before = sorted(tmp_path.rglob("*"))
    words = ("--calib-images", "2", "--json", str(tmp_path / "report.json"))
    assert run("quantize", name, *words, "-o", str(tmp_path / "out")) == cli.BAD_INPUT
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert sorted(tmp_path.rglob("*")) == before


def test_channels_without_variance_pass_when_allowed(tmp_path: Path):
    name = _damaged(tmp_path, _set("blocks.1.experts.fc1.weight", (2, 5), 0.25))
    words = ("--calib-images", "1", "--allow-dead-channels", "-o", str(tmp_path / "out"))
    assert run("quantize", name, *words) == 0
    assert (tmp_path / "out" / "m3vit-micro.safetensors").is_file()


def test_bad_overrides_leave_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for text, message in (
        ("blocks.0.hiden: {rule: mse}", "no int8 tensor has the name 'blocks.0.hiden'; did you mean blocks.0.hidden"),
        ("blocks.0.hidden: {scale: 1000}", "blocks.0.hidden: a scale of 1000 ends at 1.27e+05"),
    ):
        (tmp_path / "overrides.yaml").write_text(text)
        words = ("--overrides", str(tmp_path / "overrides.yaml"), "-o", str(tmp_path / "out"))
        assert run("quantize", "m3vit-micro", "--calib-images", "1", *words) == cli.BAD_INPUT
        assert message in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "out").exists()


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
        (
            ["m3vit-micro", "--calibration-rule", "minmax"],
            "unknown calibration rule 'minmax'; there are mse, percentile",
        ),
        (["m3vit-micro", "--percentile", "99"], "--percentile 99 means nothing to --calibration-rule held-out"),
        (["m3vit-micro", "--calibration-rule", "percentile", "--percentile", "0"], "percentile 0: must be in 50..100"),
        (["m3vit-micro", "--overrides", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["m3vit-micro", "--json", "nowhere/report.json"], "folder nowhere does not exist"),
    ],
)
def test_refusals(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("quantize", *arguments, "-o", str(tmp_path / "out")) == cli.BAD_INPUT
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "out").exists()
