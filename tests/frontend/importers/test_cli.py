"""``hwgen import`` as a user types it: files that come out, files that cannot be read, and nothing half-written."""

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from golden.network import run_network
from hwgen.frontend.importers.checkpoint import read_checkpoint
from hwgen.frontend.store import load_float, load_model
from hwgen.request import resolve
from hwgen.spec.package import PackageError
from tests.frontend.importers import made
from tests.frontend.importers.command import run as _run
from tests.frontend.importers.made import as_torch, edge_state, image, m3vit_state, timm_state

DOC = Path(__file__).resolve().parents[3] / "docs" / "bring-your-own.md"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _pictures(folder: Path, count: int = 2) -> None:
    folder.mkdir()
    for index in range(count):
        Image.fromarray(image(48, 40, index)).save(folder / f"{index}.png")


def _save(arrays: dict[str, Any], kind: str) -> str:
    """A checkpoint file of this kind."""
    if kind == "npz":
        np.savez("net.npz", **arrays)
    elif kind == "safetensors":
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, "net.safetensors")
    else:
        state = as_torch(arrays)
        wrapped = {"model": state, "epoch": 3} if kind == "pt" else {f"module.{n}": t for n, t in state.items()}
        torch.save(wrapped, f"net.{kind}")
    return f"net.{kind}"


@pytest.mark.parametrize("kind", ["npz", "safetensors", "pth", "pt"])
def test_every_format_gives_the_same_package(kind: str) -> None:
    _pictures(Path("photos"))
    words = "--name small --heads 4 --calib photos -o out/deep --json out.json"
    assert _run(f"import timm {_save(timm_state(), kind)} {words}") == 0
    names = sorted(path.name for path in Path("out/deep").iterdir())
    assert names == ["small.float.safetensors", "small.safetensors"]
    package = load_model("out/deep/small.safetensors")
    assert json.loads(Path("out.json").read_text())["provenance"] == package.provenance
    assert (package.provenance["import"], package.provenance["source"]) == ("timm", f"net.{kind}")
    assert package.provenance["calibration"] == "pictures"
    assert package.provenance["calibration_images"] == 2
    design = resolve("zcu102", "out/deep/small.safetensors", None)
    assert (design.model, design.weights) == (package.config, "out/deep/small.safetensors")
    assert load_float("out/deep/small.safetensors")["norm.weight"].shape == (32,)


def test_the_rule_of_the_scales_is_kept() -> None:
    Path("overrides.yaml").write_text("blocks.0.hidden: {clip: 2.54}\n")
    words = (
        "--calib-images 2 --calibration-rule percentile --percentile 99 --bias-correction --overrides overrides.yaml"
    )
    assert _run(f"import timm {_save(timm_state(), 'npz')} --name net --heads 4 {words}") == 0
    package = load_model("net.safetensors")
    assert package.provenance["calibration_rule"] == {"rule": "percentile", "percentile": 99.0}
    assert package.provenance["calibration_images"] == 2
    assert package.provenance["bias_correction"] is True
    assert package.scales["blocks.0.hidden"] == pytest.approx(0.02)


def test_experts_and_their_stand_ins_reach_the_golden_model() -> None:
    np.savez("edge.npz", **edge_state(matrices=False))
    assert _run("import edge-moe edge.npz --name edge --heads 4 --image-size 16x32 --stand-in-experts") == 0
    torch.save(as_torch(m3vit_state()), "m3vit.pth")
    more = "--heads 4 --image-size 16x32 --tasks semseg,depth --features --top-k 3"
    assert _run(f"import m3vit m3vit.pth --name named {more}") == 0
    for name, task, top_k in (("edge", "task1", 2), ("named", "depth", 3)):
        package = load_model(f"{name}.safetensors")
        tensors = run_network(package, image(16, 32), task)
        assert tensors[f"heads.{task}"].shape == (8, 32)
        assert tensors[f"heads.{task}"].std() > 100
        assert tensors["blocks.1.experts"].shape == (9, top_k)
        assert ("stand_in_experts" in package.provenance) == (name == "edge")


def test_float_weights_of_another_import_are_refused() -> None:
    _save(timm_state(0), "npz")
    assert _run("import timm net.npz --name a --heads 4 --calib-images 1") == 0
    _save(timm_state(1), "npz")
    assert _run("import timm net.npz --name b --heads 4 --calib-images 1") == 0
    Path("b.float.safetensors").replace("a.float.safetensors")
    with pytest.raises(PackageError, match=r"not the weights that a\.safetensors was quantised from"):
        load_float("a.safetensors")
    with pytest.raises(PackageError, match="no such float model"):
        load_float("b.safetensors")


class _Code:
    """Something that a pickle could run."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return Path.touch, (Path("ran"),)  # pyright: ignore[reportReturnType]


def _truncated(kind: str) -> str:
    path = Path(_save(timm_state(), kind))
    path.write_bytes(path.read_bytes()[:-3000])
    return str(path)


def _with_code() -> str:
    Path("net.pth").write_bytes(pickle.dumps({"cls_token": _Code()}, protocol=2))
    return "net.pth"


def _objects() -> str:
    np.savez("net.npz", cls_token=np.array([{"a": 1}], dtype=object))
    return "net.npz"


def _other(content: Any) -> str:
    torch.save(content, "net.pth")
    return "net.pth"


def _zipped_code() -> str:
    """The same in the file format that torch has today."""
    torch.save({"cls_token": _Code()}, "net.pt")
    return "net.pt"


def _text(name: str, content: bytes = b"") -> str:
    Path(name).write_bytes(content)
    return name


def _changed(name: str, change: Callable[[Any], Any], kind: str = "safetensors") -> str:
    arrays = timm_state()
    arrays[name] = change(arrays[name].copy())
    return _save(arrays, kind)


def _not_a_number(array: Any) -> Any:
    array.flat[5] = np.nan
    return array


def _sparse() -> str:
    return _other({**as_torch(timm_state()), "norm.bias": torch.ones(32).to_sparse()})


def _eight_bits() -> str:
    state = as_torch(timm_state())
    save_torch({**state, "head.bias": state["head.bias"].to(torch.float8_e4m3fn)}, "net.safetensors")
    return "net.safetensors"


def _raw() -> str:
    Path("net").mkdir()
    Path("net/head.float32.bin").write_bytes(bytes(7))
    return "net"


def _dead() -> str:
    arrays = timm_state()
    for part in ("weight", "bias"):
        arrays[f"blocks.1.norm1.{part}"] *= 0
    return f"{_save(arrays, 'npz')} --allow-dead-channels"


def _huge() -> str:
    arrays = timm_state()
    arrays["norm.weight"] = np.full_like(arrays["norm.weight"], 3e38)
    return _save(arrays, "npz")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: "none.pth", "none.pth: no such file or folder"),
        (lambda: _truncated("pth"), "net.pth: refused: truncated"),
        (lambda: _truncated("npz"), "net.npz: list of arrays cannot be read"),
        (lambda: _truncated("safetensors"), "net.safetensors: header cannot be read"),
        (_with_code, "holds code besides tensors"),
        (_zipped_code, "net.pt: refused: truncated, not a torch file, or it holds code besides tensors"),
        (lambda: _text("net.pth"), "net.pth: refused: truncated"),
        (lambda: _text("net.safetensors"), "net.safetensors: header cannot be read"),
        (lambda: _text("net.safetensors", b"\xff" * 64), "net.safetensors: header cannot be read"),
        (lambda: _text("net.npz", b"PK"), "net.npz: list of arrays cannot be read"),
        (lambda: _text("net.onnx", b"x"), "net.onnx: unknown kind of file"),
        (_raw, "head.float32.bin: 7 bytes, not a whole number of float32 values"),
        (_sparse, "net.pth: norm.bias is no plain tensor (torch.sparse_coo"),
        (_eight_bits, "net.safetensors: head.bias cannot be read"),
        (lambda: _changed("norm.bias", _not_a_number), "net.safetensors: norm.bias holds 1 NaN or infinite values"),
        (lambda: _changed("head.weight", _not_a_number, "pth"), "net.pth: head.weight holds 1 NaN"),
        (lambda: _changed("head.weight", lambda a: a[:, 1:]), "head.weight has shape [10, 31], expected [10, 32]"),
        (
            lambda: _changed("cls_token", lambda a: a[0], "npz"),
            "net.npz: cls_token has shape [1, 32], expected [1, 1, 3",
        ),
        (lambda: _changed("pos_embed", lambda a: a > 0), "pos_embed holds bool, expected floating-point values"),
        (_objects, "net.npz: cls_token cannot be read"),
        (lambda: _other([1, 2]), "holds a list, expected a state_dict"),
        (lambda: _other({"a": 1}), "a is a int, expected a tensor"),
        (_dead, "blocks.1.norm1 is zero on all 8 calibration images: a dead activation range"),
        (_huge, "net: norm is NaN or infinite in places on all 8 calibration images"),
        (lambda: f"{_save(timm_state(), 'npz')} --name m3vit-tiny", "is the name of a preset"),
        (lambda: f"{_save(timm_state(), 'npz')} --name ../up", "letters, digits, dots"),
        (lambda: f"{_save(timm_state(), 'npz')} --top-k 2", "--top-k means nothing to timm; it belongs to m3vit"),
        (lambda: f"{_save(timm_state(), 'npz')} --mean a", "--mean a: give numbers separated by commas, or imagenet"),
        (lambda: f"{_save(timm_state(), 'npz')} --std 0", "--std must be positive"),
        (lambda: f"{_save(timm_state(), 'npz')} --std 1,2", "need 1 or 3 values, got 1 and 2"),
        (lambda: f"{_save(timm_state(), 'npz')} --image-size 32", "give HEIGHTxWIDTH"),
        (lambda: f"{_save(timm_state(), 'npz')} --calib nowhere", "--calib nowhere: no such folder"),
        (lambda: f"{_save(timm_state(), 'npz')} --percentile 99", "--percentile 99 means nothing to"),
        (lambda: f"{_save(timm_state(), 'npz')} --overrides no.yaml", "no.yaml: no such file"),
        (lambda: f"{_save(timm_state(), 'npz')} --arch small.yaml", "patch_embed: inputs 192, this arch takes 48; set"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(
    make: Callable[[], str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("small.yaml").write_text("base: sim\nmax_inputs: 48\n")
    words = make()
    before = sorted(Path().iterdir())
    named = "" if "--name" in words else "--name net"
    assert _run(f"import timm {words} {named} --heads 4 -o out/deep") == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.startswith("error: ")
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("file", ["net.safetensors", "net.float.safetensors"])
def test_the_checkpoint_is_not_written_over(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = Path(_save(timm_state(), "safetensors")).rename(file).read_bytes()
    assert _run(f"import timm {file} --name net --heads 4") == 2
    assert f"--name net: {file} is the checkpoint itself" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == [file]
    assert Path(file).read_bytes() == content


def test_no_code_of_a_pickle_runs() -> None:
    for make in (_with_code, _zipped_code):
        assert _run(f"import timm {make()} --name net --heads 4") == 2
    assert not Path("ran").exists()


@pytest.mark.parametrize("narrow", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_half_precision_becomes_float32(narrow: torch.dtype, kind: str) -> None:
    state = {name: tensor.to(narrow) for name, tensor in as_torch(timm_state(4)).items()}
    wide = {name: tensor.float().numpy() for name, tensor in state.items()}
    if kind == "pth":
        torch.save(state, "net.pth")
    else:
        save_torch({name: tensor.contiguous() for name, tensor in state.items()}, "net.safetensors")
    found = read_checkpoint(Path(f"net.{kind}"))
    assert set(found.names) == set(wide)
    for name, array in wide.items():
        taken = found.take(name, array.shape)
        assert taken.dtype == np.float32
        assert np.array_equal(taken, array), name
    assert _run(f"import timm net.{kind} --name narrow --heads 4 --calib-images 1") == 0


def test_a_failed_write_leaves_the_files_that_were_there(monkeypatch: pytest.MonkeyPatch) -> None:
    source = _save(timm_state(), "npz")
    assert _run(f"import timm {source} --name net --heads 4 --calib-images 1 -o out") == 0
    before = {path: path.read_bytes() for path in Path("out").iterdir()}

    def full(_: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hwgen.frontend.importers.convert.save_package", full)
    assert _run(f"import timm {source} --name net --heads 4 --calib-images 2 -o out") == 2
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before
    assert _run(f"import timm {source} --name net --heads 4 --calib-images 2 -o other/deep") == 2
    assert not Path("other").exists()


def test_an_unknown_kind_is_told_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("import swin net.pth --name net") == 2
    assert "unknown kind 'swin'; there are timm, hf, m3vit, edge-moe" in capsys.readouterr().err


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOC.read_text(), flags=re.DOTALL)


def test_the_documented_ten_lines_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shell, python = _blocks("sh"), _blocks("python")
    assert (len(shell), len(python)) == (2, 1)
    assert len([line for line in (shell[0] + python[0]).splitlines() if line]) == 10
    monkeypatch.setattr(made, "DIM", 64)  # one head of the usual size
    torch.save(as_torch(timm_state(2)), "checkpoint.pth")
    _pictures(Path("photos"), 3)
    assert _run(shell[0].removeprefix("hwgen ")) == 0
    capsys.readouterr()
    exec(compile(python[0], str(DOC), "exec"), {})
    found = re.fullmatch(r"signal over noise (\d+)\n", capsys.readouterr().out)
    assert found is not None
    assert int(found[1]) > 100  # 20 dB
    assert _run(shell[1].removeprefix("hwgen ")) == 0
    assert "my-vit" in capsys.readouterr().out
