"""timm's config.json beside a checkpoint: what it says is used, and what the machine does not compute is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.frontend.importers.checkpoint import CheckpointError, read_checkpoint
from hwgen.frontend.importers.function import assumed
from hwgen.frontend.importers.imported import IMAGENET_MEAN, IMAGENET_STD, Imported, ImportOptions
from hwgen.frontend.importers.timm import import_timm
from hwgen.frontend.importers.timm_names import architecture
from hwgen.frontend.store import load_model
from tests.frontend.importers.command import run
from tests.frontend.importers.made import timm_state

ARGS: dict[str, Any] = {"embed_dim": 32, "depth": 4, "num_heads": 2, "patch_size": 8, "mlp_ratio": 2, "img_size": 32}
IMAGENET = {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("net.npz", **timm_state())  # pyright: ignore[reportArgumentType]


def _config(**changes: Any) -> dict[str, Any]:
    """As timm writes it for a small ViT; entries of ``model_args`` are merged."""
    args = {**ARGS, **changes.pop("model_args", {})}
    return {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 10,
        "num_features": 32,
        "global_pool": "token",
        "model_args": args,
        "pretrained_cfg": {"tag": "augreg", "input_size": [3, 32, 32], "interpolation": "bicubic", **IMAGENET},
        **changes,
    }


def _import(config: Any, **options: Any) -> Imported:
    Path("config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return import_timm(read_checkpoint(Path("net.npz")), ImportOptions(name="net", **options))


def test_the_file_answers_what_the_arrays_do_not_say() -> None:
    found = _import(_config())
    assert found.config.heads == 2  # and not 64 channels each, which 32 channels cannot have
    assert (found.facts["mean"], found.facts["std"]) == (list(IMAGENET_MEAN), list(IMAGENET_STD))
    assert found.facts["architecture"] == "vit_tiny_patch16_224"
    assert assumed(found.function) == []
    assert found.function["heads"].endswith("sqrt(16) (config.json)")
    assert found.function["activation"].endswith("(config.json)")
    assert found.notes == ("task: 'class', 10 classes from the class token",)
    wide = _import(_config(model_args={"img_size": [16, 64]})).config
    assert (wide.image_height, wide.image_width) == (16, 64)
    resized = _import(_config(), image_size=(16, 40))  # what the file says is the size that it was trained for
    assert (resized.config.image_height, resized.config.image_width) == (16, 40)
    assert any("position embedding resized from 4x4 to 2x5 patches" in note for note in resized.notes)
    small = {name: value for name, value in ARGS.items() if name != "img_size"}
    prepared = {"pretrained_cfg": {"input_size": [3, 64, 16]}}
    tall = _import({**_config(), "model_args": small, **prepared}).config
    assert (tall.image_height, tall.image_width) == (64, 16)


def test_options_that_say_the_same_pass() -> None:
    options = {"heads": 2, "image_size": (32, 32), "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    assert _import(_config(), **options).config == _import(_config()).config
    assert _import(_config(), **options).function["heads"].endswith("(--heads)")
    half = {"pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    assert _import(_config(**half), mean=(0.5,)).facts["mean"] == [0.5] * 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"global_pool": "max"}, 'global_pool: global_pool = "max", another function'),
        ({"model_args": {"global_pool": "map"}}, "the machine computes heads from the class token or from the mean"),
        ({"global_pool": "avg", "model_args": {"fc_norm": 1}}, "model_args: fc_norm = 1, expected true or false"),
        (
            {"model_args": {"act_layer": "elu"}},
            'model_args: act_layer = "elu", another function: the machine computes gelu, gelu_tanh, quick_gelu, relu',
        ),
        ({"model_args": {"act_layer": "mish"}}, 'train the network with act_layer = "gelu"'),
        ({"architecture": "vit_base_patch16_rpn_224"}, 'architecture vit_base_patch16_rpn_224: block_fn = "ResPostBlo'),
        ({"model_args": {"block_fn": "ResPostBlock"}}, "pre-norm blocks: x + attention(norm1(x)), then x + mlp(norm2"),
        ({"architecture": "vit_base_patch16_clip_quickgelu_224.openai"}, "pre_norm = true"),
        ({"architecture": "vit_small_patch16_18x2_224"}, 'block_fn = "ParallelThingsBlock"'),
        ({"architecture": "vit_giant_patch14_dinov2"}, 'mlp_layer = "GluMlp"'),
        ({"model_args": {"no_embed_class": True}}, "img_size 32x32: pos_embed has 17 patches of 8x8 pixels"),
        ({"model_args": {"class_token": False}}, "global_pool = token, and class_token = false: there is none to read"),
        ({"model_args": {"reg_tokens": "4"}}, 'reg_tokens = "4", expected a number'),
        ({"model_args": {"reg_tokens": 4}}, "img_size 32x32: pos_embed has 12 patches of 8x8 pixels"),
        ({"model_args": {"qk_norm": True}}, "qk_norm = true"),
        ({"model_args": {"norm_layer": "rmsnorm"}}, 'norm_layer = "rmsnorm"'),
        ({"model_args": {"final_norm": False}}, "final_norm = false"),
        ({"model_args": {"rope": "axial"}}, 'model_args: rope = "axial": this import does not know what that changes'),
        ({"num_classes": 11}, "num_classes: num_classes = 11, but the arrays have 10"),
        ({"num_features": 64, "model_args": {"embed_dim": 64}}, "model_args: embed_dim = 64, but the arrays have 32"),
        ({"model_args": {"depth": 12}}, "depth = 12, but the arrays have 4"),
        ({"model_args": {"patch_size": [16, 16]}}, "patch_size = [16, 16], but the arrays have 8"),
        ({"model_args": {"mlp_ratio": 4.0}}, "mlp_ratio = 4.0, but the arrays have 64 hidden units of 32 channels"),
        ({"model_args": {"num_heads": 5}}, "num_heads 5: dim 32 is not a multiple of it"),
        ({"model_args": {"num_heads": "2"}}, 'model_args: num_heads = "2", expected a number'),
        ({"model_args": {"img_size": 64}}, "img_size 64x64: pos_embed has 16 patches of 8x8 pixels"),
        ({"model_args": {"img_size": "big"}}, 'img_size = "big", expected one side or [height, width]'),
        ({"pretrained_cfg": {"mean": "imagenet"}}, 'pretrained_cfg.mean = "imagenet", expected numbers'),
        ({"pretrained_cfg": [1]}, "pretrained_cfg is a list, expected an object"),
    ],
)
def test_what_contradicts_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckpointError) as found:
        _import(_config(**changes))
    assert str(found.value).startswith("config.json: ")
    assert says in str(found.value)


def test_a_name_gives_sizes_that_model_args_do_not_change() -> None:
    """The name says 192 channels; without model_args these are the network's."""
    with pytest.raises(
        CheckpointError, match=r"architecture vit_tiny_patch16_224: embed_dim = 192, but the arrays have 32"
    ):
        _import({"architecture": "vit_tiny_patch16_224"})
    assert architecture("vit_huge_patch14_224.orig_in21k").args["num_heads"] == 16  # of 80 channels, not 64
    assert not architecture("my_vit").known


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"heads": 4}, "config.json: --heads 4: the file says 2; leave the option out; if the file belongs to another"),
        ({"mean": (0.5,)}, "config.json: --mean 0.5: the file says 0.485,0.456,0.406"),
        ({"std": (0.229, 0.224, 0.3)}, "config.json: --std 0.229,0.224,0.3: the file says"),
    ],
)
def test_options_that_contradict_the_file_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckpointError) as found:
        _import(_config(), **options)
    assert says in str(found.value)


def test_another_activation_is_taken() -> None:
    found = _import(_config(model_args={"act_layer": "gelu_tanh"}))
    assert found.config.activation == "gelu_tanh"
    assert found.function["activation"].startswith("gelu_tanh, x (1 + tanh(")
    assert _import(_config(model_args={"act_layer": "GELU", "qkv_bias": True, "drop_path_rate": 0.1, "x": False}))


def test_unknown_names_and_files_of_other_programs_are_said() -> None:
    found = _import(_config(architecture="my_vit"))
    assert any("what timm computes for architecture my_vit is not known here" in note for note in found.notes)
    assert assumed(found.function) == ["activation", "norm order", "epsilon"]
    other = _import({"architectures": ["ViTForImageClassification"]}, heads=4)
    assert "config.json names no architecture of timm's: not read" in other.notes
    assert other.config.heads == 4


@pytest.mark.parametrize("text", ["{", "[]", "", "\x00", "[" * 100_000])
def test_a_damaged_file_is_named(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.json").write_text(text)
    assert run("import timm net.npz --name out --heads 4") == 2
    assert capsys.readouterr().err.startswith("error: config.json: ")
    assert sorted(path.name for path in Path().iterdir()) == ["config.json", "net.npz"]


def test_a_refusal_leaves_nothing_and_a_match_is_kept() -> None:
    Path("config.json").write_text(json.dumps(_config(model_args={"act_layer": "elu"})))
    assert run("import timm net.npz --name out -o deep") == 2
    assert sorted(path.name for path in Path().iterdir()) == ["config.json", "net.npz"]
    Path("config.json").write_text(json.dumps(_config()))
    assert run("import timm net.npz --name out -o deep --calib-images 1") == 0
    provenance = load_model("deep/out.safetensors").provenance
    assert provenance["architecture"] == "vit_tiny_patch16_224"
    assert provenance["function"]["pixels"].endswith("folded into the patch embedding (config.json)")
