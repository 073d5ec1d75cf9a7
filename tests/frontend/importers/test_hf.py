"""transformers' files without transformers: the same network as under timm's names, and refusals by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.imported import Imported, ImportOptions
from hwgen.frontend.importers.resize import resized
from hwgen.frontend.importers.timm import import_timm
from hwgen.frontend.store import load_model
from tests.frontend.importers.command import run
from tests.frontend.importers.hugging import DINO, REGISTERS, VIT, imported, scaled, without_head
from tests.frontend.importers.made import DIM, HIDDEN, Arrays, hf_state, save_hf, timm_state

OPTIONS = ImportOptions(name="net", heads=2)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _same(left: Imported, right: Imported) -> None:
    """One network, array by array."""
    assert left.config == right.config
    assert sorted(left.arrays) == sorted(right.arrays)
    for name, array in left.arrays.items():
        assert np.array_equal(array, right.arrays[name]), name


def _timm(arrays: Arrays) -> Imported:
    return import_timm(Checkpoint("net", arrays), OPTIONS)


def test_arrays_are_those_of_timm() -> None:
    arrays = timm_state()
    _same(imported(hf_state(arrays, "vit."), VIT), _timm(arrays))
    bare = without_head(arrays)
    pooler = {"pooler.dense.weight": np.ones((DIM, DIM)), "pooler.dense.bias": np.ones(DIM)}
    found = imported(hf_state(bare) | pooler, {**VIT, "architectures": ["ViTModel"]})
    _same(found, _timm(bare))
    assert found.notes[0].startswith("left out: the pooler (linear, tanh)")
    live = {name.replace("encoder.layer.", "layers."): array for name, array in hf_state(bare).items()}
    _same(imported(live, {**VIT, "architectures": ...}), _timm(bare))


def test_a_second_token_is_a_head_or_a_register() -> None:
    arrays = timm_state(distilled=True)
    deit = {**VIT, "model_type": "deit", "architectures": ["DeiTForImageClassificationWithTeacher"]}
    both = imported(hf_state(arrays, "deit."), deit)
    _same(both, _timm(arrays))
    assert both.notes == ("task: 'class', 10 classes from both class tokens",)
    single = {name: array for name, array in arrays.items() if not name.startswith("head_dist")}
    found = imported(hf_state(single, "deit."), {**deit, "architectures": ["DeiTForImageClassification"]})
    assert (found.config.class_token, found.config.registers) == ("learned", 1)
    assert "the distillation token, which no head reads, is a register" in found.notes
    register = {**single, "reg_token": single["dist_token"]}
    del register["dist_token"]
    _same(found, _timm(register))


def test_registers_have_no_position() -> None:
    timm, there = scaled(without_head(timm_state()))
    _same(imported({**there, "embeddings.mask_token": np.zeros((1, DIM))}, DINO), _timm(timm))
    tokens = np.random.default_rng(5).normal(size=(1, 3, DIM)).astype(np.float32)
    found = imported({**there, "embeddings.register_tokens": tokens}, {**REGISTERS, "num_register_tokens": 3})
    assert np.array_equal(found.arrays["position"][1:4], tokens[0])
    assert not found.arrays["position"][0].any()
    assert np.array_equal(found.arrays["class_token"], (timm["cls_token"] + timm["pos_embed"][:, :1]).reshape(-1))
    assert np.array_equal(found.arrays["position"][4:], timm["pos_embed"][0, 1:])


def test_who_resizes_and_how() -> None:
    timm, there = scaled(without_head(timm_state()))
    tokens = {"embeddings.register_tokens": np.ones((1, 2, DIM), dtype=np.float32)}
    table = timm["pos_embed"][0, 1:]
    for arrays, entries, antialias in ((there, DINO, False), (there | tokens, REGISTERS, True)):
        found = imported(arrays, {**entries, "num_register_tokens": 2}, image_size=(16, 24))
        assert np.array_equal(found.arrays["position"][-6:], resized(table, (4, 4), (2, 3), antialias=antialias))
    wide = {**VIT, "image_size": [16, 64], "architectures": ["ViTModel"]}
    state = hf_state(without_head(timm_state()))
    assert np.array_equal(imported(state, wide).arrays["position"][1:], table)  # as it is
    square = imported(there, {**DINO, "image_size": [16, 64]}).arrays["position"][1:]  # a square's, as DINOv2 does it
    assert np.array_equal(square, resized(table, (4, 4), (2, 8), antialias=False))
    other = imported(state, wide, image_size=(32, 32)).arrays["position"][1:]
    assert np.array_equal(other, table)  # a square's as well, as soon as it is another size
    odd = {**state, "embeddings.position_embeddings": timm["pos_embed"][:, :11]}
    assert imported(odd, {**wide, "image_size": [16, 40]}).config.image_width == 40
    with pytest.raises(CheckpointError, match="position_embeddings has 10 patches, and transformers resizes squares o"):
        imported(odd, {**wide, "image_size": [16, 40]}, image_size=(32, 32))
    with pytest.raises(CheckpointError, match="image size 33x32 is no multiple of the patch"):
        imported(state, {**VIT, "architectures": ["ViTModel"]}, image_size=(33, 32))


SPOILT: dict[str, Any] = {
    "encoder.layer.1.attention.attention.key.weight": (None, "is missing"),
    "encoder.layer.2.layernorm_before.bias": (None, "is missing"),
    "encoder.layer.0.intermediate.dense.weight": (np.full((HIDDEN, DIM), np.nan), "NaN"),
    "encoder.layer.3.output.dense.weight": (np.ones((DIM, HIDDEN)), "zero variance"),
    "embeddings.position_embeddings": (np.ones((17, DIM)), "shape"),
    "encoder.layer.1.attention.attention.value.weight": (np.ones((DIM, 2 * DIM)), "expected [32, 32]"),
    "encoder.layer.0.rel_pos": (np.ones(3), "not part of any layer"),
    "encoder.layer.9.layernorm_before.weight": (np.ones(DIM), "encoder.layer.4"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_messages_have_the_names_of_the_file(name: str) -> None:
    arrays, (value, says) = hf_state(without_head(timm_state())), SPOILT[name]
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    with pytest.raises(CheckpointError) as found:
        imported(arrays, {**VIT, "architectures": ["ViTModel"]})
    assert says in str(found.value)
    assert "blocks." not in str(found.value)
    assert ("layer.9" in name) != (name in str(found.value))


def test_files_that_are_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    Path("net").mkdir()
    np.savez("net/model.npz", **hf_state(timm_state(), "vit."))  # pyright: ignore[reportArgumentType]
    assert run("import hf net --name mine") == 2
    assert "error: net: a folder without model.safetensors and pytorch_model.bin" in capsys.readouterr().err
    Path("net/model.safetensors.index.json").write_text("{}")
    assert run("import hf net --name mine") == 2
    assert "the weights are in several files (model.safetensors.index.json)" in capsys.readouterr().err
    assert run("import hf net/model.npz --name mine") == 2
    assert "net/model.npz: config.json is missing beside it: arrays do not say heads" in capsys.readouterr().err
    assert run("import hf none --name mine") == 2
    assert "none: no such file or folder" in capsys.readouterr().err
    Path("net/config.json").write_text(json.dumps(VIT))
    for words, says in (
        ("--heads 4", "net/config.json: --heads 4: the file says 2; leave the option out"),
        ("--drop-distillation", "--drop-distillation means nothing to hf"),
    ):
        assert run(f"import hf net/model.npz --name mine {words}") == 2
        assert says in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["net"]
    assert run("import timm net/model.npz --name mine") == 2
    assert (
        "vit.embeddings.position_embeddings: this is a name of transformers: hwgen import hf" in capsys.readouterr().err
    )
    save_hf(timm_state(), Path("two"))
    Path("two/pytorch_model.bin").write_text("not read")
    assert run("import hf two --name model -o two") == 2
    assert "--name model: two/model.safetensors is the checkpoint itself" in capsys.readouterr().err
    assert run("import hf two --name second --calib-images 1") == 0
    assert load_model("second.safetensors").provenance["source"] == "model.safetensors"
    assert run("import hf net/model.npz --name mine --heads 2 --calib-images 1") == 0
