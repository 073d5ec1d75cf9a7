"""``hwgen export`` as a user types it: files that torch and the importers load, and what is refused."""

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from hwgen.cli import main as cli
from hwgen.frontend.exporters import export as exporting
from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.frontend.m3vit import M3ViT
from hwgen.frontend.store import load_float, load_model, package_path
from hwgen.spec.package import PackageError
from hwgen.store.packages import save_package
from tests.frontend.importers.independent import classify
from tests.frontend.importers.made import HEADS, as_torch, image, m3vit_state, timm_state


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _run(words: str) -> int:
    """Exit code of a command line; every word is free of spaces."""
    try:
        return cli.guarded(lambda: cli.app(words.split()))
    except SystemExit as end:
        return int(end.code or 0)


def _printed_import(text: str) -> str:
    """The command that the export tells to type."""
    (line,) = [line for line in text.splitlines() if line.startswith("it is read again by: hwgen ")]
    return line.removeprefix("it is read again by: hwgen ")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_timm_checkpoint_goes_round(suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(timm_state(2), "net.safetensors")
    assert _run(f"import timm net.safetensors --name net --heads {HEADS} --mean imagenet --std imagenet -o in") == 0
    assert _run(f"export in/net.safetensors -o back{suffix} --json out.json") == 0
    text = capsys.readouterr().out
    report = json.loads(Path("out.json").read_text())
    package = load_model("in/net.safetensors")
    assert (report["format"], report["package_sha256"]) == ("timm", package.sha256())
    assert report["checks"][0]["sqnr_db"] > 20
    assert f"task class: golden against these weights {report['checks'][0]['sqnr_db']:.1f} dB" in text
    assert report["import"] == "hwgen " + _printed_import(text)
    assert _run(f"{_printed_import(text)} -o again") == 0
    again = load_model("again/net-again.safetensors")
    picture = image(32, 32, 5)
    old, new = (FloatModel(load_float(f), package.config).run(picture, "class")["heads.class"] for f in (
        "in/net.safetensors", "again/net-again.safetensors",
    ))  # fmt: skip
    assert np.square(old).mean() > 100 * np.square(new - old).mean()
    assert again.config.heads == HEADS
    if suffix == ".pth":
        state = torch.load("back.pth", weights_only=True)
        logits = classify(state, picture, HEADS, package.provenance["mean"], package.provenance["std"])
        np.testing.assert_allclose(logits, new, rtol=1e-4, atol=1e-4)
    else:
        with safe_open("back.safetensors", framework="numpy") as handle:
            about = json.loads(handle.metadata()["hwgen.export"])
        assert about["package_sha256"] == package.sha256()
        assert about["provenance"]["calibration_rule"] == package.provenance["calibration_rule"]


def test_a_network_with_experts_goes_round(capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(as_torch(m3vit_state(4)), "m3vit.pth")
    words = f"--heads {HEADS} --image-size 16x32 --tasks semseg,depth --features --top-k 2"
    assert _run(f"import m3vit m3vit.pth --name moe {words}") == 0
    assert _run("export moe.safetensors -o back.safetensors") == 0
    text = capsys.readouterr().out
    assert "with the names of m3vit" in text
    assert _run(_printed_import(text)) == 0
    first, again = load_model("moe.safetensors"), load_model("moe-again.safetensors")
    assert again.config.tasks == first.config.tasks
    for name in ("blocks.0.proj.weight", "blocks.3.experts.fc2.weight"):  # no LayerNorm before them: the same codes
        step = np.abs(first.arrays[name].astype(int) - again.arrays[name])
        assert step.max() <= 1, name
        assert (step == 0).mean() > 0.99, name


def test_the_shipped_network_goes_round(capsys: pytest.CaptureFixture[str]) -> None:
    """Weights under the names of the torch module, and the shape of the network beside them."""
    assert _run("export m3vit-micro -o back.safetensors --check-images 1") == 0
    assert _run(_printed_import(capsys.readouterr().out)) == 0
    first, again = load_model("m3vit-micro"), load_model("m3vit-micro-again.safetensors")
    assert again.provenance["import"] == "hwgen"
    picture = image(64, 64, 3)
    for task in ("seg", "depth"):
        old, new = (run_network(p, picture, task)[f"heads.{task}"] * p.scales[f"heads.{task}"] for p in (first, again))
        assert np.square(old).mean() > 30 * np.square(old - new).mean()


def test_a_pth_file_loads_into_the_torch_module(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("export m3vit-micro -o micro.pth --check-images 1") == 0
    assert "read again" not in capsys.readouterr().out  # it does not say its shape
    model = M3ViT(load_model("m3vit-micro").config)
    model.load_state_dict(torch.load("micro.pth", weights_only=True), strict=True)
    assert _run("import hwgen micro.pth --name again") == 2
    assert "no metadata entry hwgen.config" in capsys.readouterr().err


def test_new_scales_keep_the_origin_of_the_weights() -> None:
    save_file(timm_state(2), "net.safetensors")
    assert _run(f"import timm net.safetensors --name net --heads {HEADS} --mean 0.4 -o in") == 0
    assert _run("quantize in/net.safetensors --calib-images 3 -o new") == 0
    assert _run("export new/net.safetensors -o back.safetensors --check-images 1") == 0
    before, after = load_model("in/net.safetensors").provenance, load_model("new/net.safetensors").provenance
    for name in ("import", "source", "source_sha256", "mean", "std"):
        assert after[name] == before[name]
    with safe_open("back.safetensors", framework="numpy") as handle:
        gamma = handle.get_tensor("blocks.0.norm1.weight")
    np.testing.assert_allclose(gamma, timm_state(2)["blocks.0.norm1.weight"], rtol=2e-3)


def _damaged() -> str:
    Path("bad.safetensors").write_bytes(package_path("m3vit-micro").read_bytes()[:-100])
    return "bad.safetensors -o x.pth"


def _own(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    save_file(arrays, "own.safetensors", metadata=metadata)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (lambda: "m3vit-micor -o x.pth", "did you mean 'm3vit-micro'"),
        (lambda: "none.safetensors -o x.pth", "none.safetensors: no such package"),
        (_damaged, "bad.safetensors: not a readable safetensors file"),
        (lambda: "m3vit-micro -o x.npz", "give a name that ends in .safetensors, .pth, .pt"),
        (lambda: "m3vit-micro -o nowhere/x.pth", "folder nowhere does not exist"),
        (lambda: "m3vit-micro -o x.pth --format onnx", "--format onnx: there are timm, m3vit, hwgen"),
        (lambda: "m3vit-micro -o x.pth --format timm", "blocks [1, 3] have experts"),
        (lambda: "m3vit-micro -o x.pth --json none/x.json", "folder none does not exist"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(words: Any, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = words()
    before = sorted(Path().iterdir())
    assert _run(f"export {line} --check-images 1") == 2
    assert says in capsys.readouterr().err
    assert sorted(Path().iterdir()) == before


def test_the_package_itself_is_not_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    content = package_path("m3vit-micro").read_bytes()
    Path("net.safetensors").write_bytes(content)
    assert _run("export net.safetensors -o net.safetensors") == 2
    assert "is the package itself" in capsys.readouterr().err
    assert Path("net.safetensors").read_bytes() == content


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("export net.safetensors -o net.float.safetensors", "is the package's float weights"),
        ("export net.safetensors -o x.pth --json net.safetensors", "is a file that the command reads or writes"),
        ("export m3vit-micro -o x.pth --json x.pth", "is a file that the command reads or writes"),
        ("quantize m3vit-micro -o . --json m3vit-micro.safetensors", "is a file that the command reads or writes"),
        ("import hwgen net.safetensors --name x --json x.float.safetensors", "is a file that the command reads or"),
        ("import hwgen net.safetensors --name net.float", "names that end in .float are of float weights"),
    ],
)
def test_no_other_file_is_written_over(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.safetensors").write_bytes(package_path("m3vit-micro").read_bytes())
    Path("net.float.safetensors").write_bytes(b"weights")
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    assert _run(words) == 2
    assert says in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_printed_commands_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["export", "m3vit-micro", "-o", "my net.safetensors", "--check-images", "1"]
    assert cli.guarded(lambda: cli.app(arguments, standalone_mode=False)) == 0
    words = shlex.split(_printed_import(capsys.readouterr().out))
    assert words[words.index("import") + 2] == "my net.safetensors"


def test_a_package_that_is_a_folder_leaves_no_float_weights(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out/m3vit-micro.safetensors").mkdir(parents=True)
    assert _run("quantize m3vit-micro -o out") == 2
    assert "m3vit-micro.safetensors: is a folder; give another --output" in capsys.readouterr().err
    assert [path.name for path in Path("out").iterdir()] == ["m3vit-micro.safetensors"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scales": {}}, "m3vit-micro: the package lacks the scale of 'residual'"),
        ({"provenance": {"equalisation": {"norm": [1.0, 2.0]}}}, "the equalisation in the package's provenance is"),
        ({"provenance": {"equalisation": {"norm": [0.0] * 64}}}, "the equalisation in the package's provenance is"),
        ({"provenance": {"equalisation": 5}}, "the equalisation in the package's provenance is damaged"),
    ],
)
def test_a_manifest_that_export_cannot_use(
    change: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_package(replace(load_model("m3vit-micro"), **change), Path("net.safetensors"))
    assert _run("export net.safetensors -o x.safetensors") == 2
    assert says in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_place_that_takes_no_file(suffix: str) -> None:
    with pytest.raises(PackageError, match=rf"none/x{suffix}: cannot be written .*; give another place"):
        exporting.save_state(Path("none") / f"x{suffix}", {"a": np.ones(1, dtype=np.float32)}, {})


@pytest.mark.parametrize(
    "words", ["export m3vit-micro -o shut/x.pth", "quantize m3vit-micro -o shut/a", "boards --json shut/x.json"]
)
def test_no_permission_is_said_first(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("shut").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != Path("shut"))
    assert _run(words) == 2
    assert "no permission to write into shut; give another place" in capsys.readouterr().err
    assert not list(Path("shut").iterdir())


def test_a_file_that_cannot_be_read_back_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise CheckpointError("unreadable")

    monkeypatch.setattr(exporting, "read_again", fail)
    Path("back.safetensors").write_text("what was there")
    assert _run("export m3vit-micro -o back.safetensors") == 2
    assert [path.name for path in Path().iterdir()] == ["back.safetensors"]
    assert Path("back.safetensors").read_text() == "what was there"


@pytest.mark.parametrize(
    ("metadata", "words", "says"),
    [
        ({}, "", "no metadata entry hwgen.config"),
        ({"hwgen.config": "{"}, "", "metadata entry hwgen.config is damaged"),
        ({"hwgen.config": "[1]"}, "", "metadata entry hwgen.config is damaged"),
        ({"hwgen.config": '{"tasks": []}'}, "", "metadata entry hwgen.config is damaged"),
        ({}, "--heads 3", "--heads: own.safetensors says it itself"),
    ],
)
def test_own_names_without_a_shape(
    metadata: dict[str, str], words: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _own({"position": np.ones((2, 3), dtype=np.float32)}, metadata)
    assert _run(f"import hwgen own.safetensors --name other {words}") == 2
    assert says in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["own.safetensors"]
