"""transformers' files without transformers: the same network as under timm's names, and refusals by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.hf import import_hf
from hwgen.frontend.importers.imported import Imported, ImportOptions
from hwgen.frontend.importers.resize import resized
from hwgen.frontend.importers.timm import import_timm
from tests.frontend.importers.command import run
from tests.frontend.importers.made import DEPTH, DIM, HIDDEN, Arrays, hf_entries, hf_state, timm_state

VIT = hf_entries()
DINO = hf_entries(model_type="dinov2", architectures=["Dinov2Model"], mlp_ratio=2)
REGISTERS = {**DINO, "model_type": "dinov2_with_registers", "architectures": ["Dinov2WithRegistersModel"]}
OPTIONS = ImportOptions(name="net", heads=2)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _import(arrays: Arrays, entries: dict[str, Any], **options: Any) -> Imported:
    Path("config.json").write_text(json.dumps({name: value for name, value in entries.items() if value is not ...}))
    checkpoint = Checkpoint("net.safetensors", arrays, folder=Path())
    return import_hf(checkpoint, ImportOptions(name="net", **options))


def _same(left: Imported, right: Imported) -> None:
    """One network, array by array."""
    assert left.config == right.config
    assert sorted(left.arrays) == sorted(right.arrays)
    for name, array in left.arrays.items():
        assert np.array_equal(array, right.arrays[name]), name


def _timm(arrays: Arrays) -> Imported:
    return import_timm(Checkpoint("net", arrays), OPTIONS)


def _features(arrays: Arrays) -> Arrays:
    return {name: array for name, array in arrays.items() if not name.startswith("head")}


def _scaled(arrays: Arrays) -> tuple[Arrays, Arrays]:
    """LayerScales under both names."""
    rng = np.random.default_rng(9)
    gammas = {(block, at): rng.normal(size=DIM).astype(np.float32) for block in range(DEPTH) for at in (1, 2)}
    timm = {f"blocks.{block}.ls{at}.gamma": gamma for (block, at), gamma in gammas.items()}
    there = {f"encoder.layer.{block}.layer_scale{at}.lambda1": gamma for (block, at), gamma in gammas.items()}
    return arrays | timm, hf_state(arrays, dino=True) | there


def test_arrays_are_those_of_timm() -> None:
    arrays = timm_state()
    _same(_import(hf_state(arrays, "vit."), VIT), _timm(arrays))
    bare = _features(arrays)
    pooler = {"pooler.dense.weight": np.ones((DIM, DIM)), "pooler.dense.bias": np.ones(DIM)}
    found = _import(hf_state(bare) | pooler, {**VIT, "architectures": ["ViTModel"]})
    _same(found, _timm(bare))
    assert found.notes[0].startswith("left out: the pooler (linear, tanh)")
    live = {name.replace("encoder.layer.", "layers."): array for name, array in hf_state(bare).items()}
    _same(_import(live, {**VIT, "architectures": ...}), _timm(bare))


def test_a_second_token_is_a_head_or_a_register() -> None:
    arrays = timm_state(distilled=True)
    deit = {**VIT, "model_type": "deit", "architectures": ["DeiTForImageClassificationWithTeacher"]}
    _same(_import(hf_state(arrays, "deit."), deit), _timm(arrays))
    single = {name: array for name, array in arrays.items() if not name.startswith("head_dist")}
    found = _import(hf_state(single, "deit."), {**deit, "architectures": ["DeiTForImageClassification"]})
    assert (found.config.class_token, found.config.registers) == ("learned", 1)
    register = {**single, "reg_token": single["dist_token"]}
    del register["dist_token"]
    _same(found, _timm(register))


def test_registers_have_no_position() -> None:
    timm, there = _scaled(_features(timm_state()))
    _same(_import({**there, "embeddings.mask_token": np.zeros((1, DIM))}, DINO), _timm(timm))
    tokens = np.random.default_rng(5).normal(size=(1, 3, DIM)).astype(np.float32)
    found = _import({**there, "embeddings.register_tokens": tokens}, {**REGISTERS, "num_register_tokens": 3})
    assert np.array_equal(found.arrays["position"][1:4], tokens[0])
    assert not found.arrays["position"][0].any()
    assert np.array_equal(found.arrays["class_token"], (timm["cls_token"] + timm["pos_embed"][:, :1]).reshape(-1))
    assert np.array_equal(found.arrays["position"][4:], timm["pos_embed"][0, 1:])


def test_who_resizes_and_how() -> None:
    timm, there = _scaled(_features(timm_state()))
    tokens = {"embeddings.register_tokens": np.ones((1, 2, DIM), dtype=np.float32)}
    table = timm["pos_embed"][0, 1:]
    for arrays, entries, antialias in ((there, DINO, False), (there | tokens, REGISTERS, True)):
        found = _import(arrays, {**entries, "num_register_tokens": 2}, image_size=(16, 24))
        assert np.array_equal(found.arrays["position"][-6:], resized(table, (4, 4), (2, 3), antialias=antialias))
    wide = {**VIT, "image_size": [16, 64], "architectures": ["ViTModel"]}
    state = hf_state(_features(timm_state()))
    assert np.array_equal(_import(state, wide).arrays["position"][1:], table)  # as it is
    square = _import(there, {**DINO, "image_size": [16, 64]}).arrays["position"][1:]  # a square's, as DINOv2 does it
    assert np.array_equal(square, resized(table, (4, 4), (2, 8), antialias=False))
    with pytest.raises(CheckpointError, match="image size 33x32 is no multiple of the patch"):
        _import(state, {**VIT, "architectures": ["ViTModel"]}, image_size=(33, 32))


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"model_type": "vit_msn"}, 'model_type = "vit_msn", this import knows vit, deit, dinov2, dinov2_with_registers'),
    ({"model_type": ...}, "no model_type, this import knows vit"),
    ({"model_type": ..., "architecture": "vit_tiny"}, "no model_type: this is timm's file; hwgen import timm reads it"),
    ({"architectures": ["MyViT"]}, 'architectures = ["MyViT"]: of model_type vit this import knows ViTModel, ViTForIm'),
    ({"architectures": ["ViTModel"]}, 'architectures = ["ViTModel"] has other heads than the arrays, which have class'),
    ({"architectures": "ViTModel"}, 'architectures = "ViTModel", expected one name'),
    ({"hidden_act": "elu"}, 'hidden_act = "elu", another function: the machine computes gelu, gelu_tanh, quick_gelu'),
    ({"hidden_act": "GELU"}, 'hidden_act = "GELU", another function'),
    ({"qk_norm": True}, "qk_norm = true: this import does not know what that changes"),
    ({"auto_map": {"AutoModel": "code.My"}}, "auto_map = "),
    ({"head_dim": 8}, "head_dim = 8: this import does not know"),
    ({"quantization_config": {"bits": 8}}, "quantization_config = "),
    ({"is_decoder": True}, "is_decoder = true, another function"),
    ({"pruned_heads": {"0": [1]}}, "pruned_heads = "),
    ({"layer_norm_eps": "small"}, 'layer_norm_eps = "small", expected a number'),
    ({"layer_norm_eps": True}, "layer_norm_eps = true, expected a number"),
    ({"layer_norm_eps": 0.5}, "epsilon"),
    ({"qkv_bias": False}, "qkv_bias = false, but the arrays have true"),
    ({"qkv_bias": "yes"}, 'qkv_bias = "yes", expected true or false'),
    ({"hidden_size": 64}, "hidden_size = 64, but the arrays have 32"),
    (
        {"hidden_size": ...},
        "hidden_size = 768 (the default of transformers; the file has none), but the arrays have 32",
    ),
    ({"num_hidden_layers": 5}, "num_hidden_layers = 5, but the arrays have 4"),
    ({"intermediate_size": ...}, "intermediate_size = 3072 (the default"),
    ({"patch_size": [8, 16]}, "patch_size = [8, 16], but the arrays have 8"),
    ({"num_attention_heads": 5}, "num_attention_heads = 5, expected a divisor of hidden_size"),
    ({"num_attention_heads": 0}, "num_attention_heads = 0, expected a divisor"),
    ({"num_attention_heads": ...}, "num_attention_heads = 12 (the default of transformers"),
    ({"image_size": 64}, "image_size = 64, but position_embeddings has 16 patches of 8x8 pixels"),
    ({"image_size": "32"}, 'image_size = "32", expected one side or [height, width]'),
    ({"id2label": {"0": "cat"}}, "id2label has 1 classes, but the arrays have 10"),
    ({"num_labels": 9}, "num_labels has 9 classes, but the arrays have 10"),
]


@pytest.mark.parametrize(("changes", "says"), CONTRADICTIONS)
def test_what_contradicts_is_refused(changes: dict[str, Any], says: str) -> None:
    arrays = hf_state(timm_state(), "vit.")
    with pytest.raises(CheckpointError) as found:
        _import(arrays, {**VIT, **changes})
    assert says in str(found.value)
    assert str(found.value).startswith("config.json: ") or says == "epsilon"
    assert _import(arrays, {**VIT, "hidden_dropout_prob": 0.1, "torch_dtype": "float16", "unknown": None})


def test_ratios_and_registers_are_compared() -> None:
    _, there = _scaled(_features(timm_state()))
    with pytest.raises(CheckpointError, match="mlp_ratio = 4, but the arrays have 64 hidden units of 32 channels"):
        _import(there, {**DINO, "mlp_ratio": 4})
    for count, says in ((4, "num_register_tokens = 4, but the arrays have 0"), (False, "num_register_tokens = false")):
        with pytest.raises(CheckpointError, match=says):
            _import(there, {**REGISTERS, "num_register_tokens": count})


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
    arrays, (value, says) = hf_state(_features(timm_state())), SPOILT[name]
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    with pytest.raises(CheckpointError) as found:
        _import(arrays, {**VIT, "architectures": ["ViTModel"]})
    assert says in str(found.value)
    assert "blocks." not in str(found.value)
    assert ("layer.9" in name) != (name in str(found.value))


@pytest.mark.parametrize(
    ("entries", "mean", "std"),
    [
        ({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}, [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]),
        ({"image_mean": 0.25, "rescale_factor": 0.00392156862745098}, [0.25], [0.5]),
        ({"image_mean": [0.1] * 3, "do_normalize": False}, [0.0], [1.0]),
        ({"size": 224, "do_resize": True, "resample": 3}, [0.5], [0.5]),
    ],
)
def test_pixels_are_normalised_as_the_file_says(entries: dict[str, Any], mean: Any, std: Any) -> None:
    Path("preprocessor_config.json").write_text(json.dumps(entries))
    found = _import(hf_state(timm_state(), "vit."), VIT)
    assert (found.facts["mean"], found.facts["std"]) == (mean, std)
    text = found.function["pixels"]
    assert text.endswith("(assumed)") == ("size" in entries)
    assert ("preprocessor_config.json" in text) == ("size" not in entries)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"do_rescale": False}, "do_rescale = false: pixels are taken with do_rescale = true"),
        ({"rescale_factor": 0.5}, "rescale_factor = 0.5: the machine divides pixels by 255"),
        ({"rescale_factor": None}, "rescale_factor = null: the machine divides pixels by 255"),
        (
            {"do_flip_channel_order": True},
            "do_flip_channel_order = true: pixels are taken with do_flip_channel_order = false",
        ),
        ({"image_mean": [0.1, 0.2]}, "image_mean = [0.1, 0.2], expected three numbers"),
        ({"image_std": "imagenet"}, 'image_std = "imagenet", expected three numbers'),
        ({"image_mean": [0.4] * 3}, "--mean 0.5: the file says 0.4,0.4,0.4; leave the option out"),
    ],
)
def test_other_pixels_are_refused(entries: dict[str, Any], says: str) -> None:
    Path("preprocessor_config.json").write_text(json.dumps(entries))
    with pytest.raises(CheckpointError) as found:
        _import(hf_state(timm_state(), "vit."), VIT, mean=(0.5,))
    assert str(found.value) == f"preprocessor_config.json: {says}"


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
    assert run("import hf net/model.npz --name mine --heads 2 --calib-images 1") == 0
