"""timm's classifiers: the import computes what an independent restatement computes, and refuses what it cannot."""

from typing import Any

import numpy as np
import pytest

from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.imported import IMAGENET_MEAN, IMAGENET_STD, Imported, ImportOptions
from hwgen.frontend.importers.timm import import_timm
from tests.frontend.importers.independent import classify
from tests.frontend.importers.made import DIM, HEADS, Arrays, as_torch, image, timm_state


def _import(arrays: Arrays, *, allow_dead: bool = False, **options: Any) -> Imported:
    given = ImportOptions(name="net", **{"heads": HEADS, **options})
    return import_timm(Checkpoint("net.pth", arrays, allow_dead=allow_dead), given)


@pytest.mark.parametrize(
    ("heads", "mean", "std"),
    [(HEADS, (0.5,) * 3, (0.5,) * 3), (1, IMAGENET_MEAN, IMAGENET_STD), (8, (0.1,) * 3, (2,) * 3)],
)
def test_logits_equal_an_independent_restatement(heads: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    arrays = timm_state(3)
    options = {} if mean == (0.5,) * 3 else {"mean": mean, "std": std}  # 0.5 is the default
    imported = _import(arrays, heads=heads, **options)
    for seed in range(3):
        picture = image(32, 32, seed)
        logits = FloatModel(imported.arrays, imported.config).run(picture, "class")["heads.class"]
        expected = classify(as_torch(arrays), picture, heads, mean, std)
        assert logits.shape == (1, 10)
        assert expected.std() > 0.1
        np.testing.assert_allclose(logits, expected, rtol=2e-5, atol=2e-5)


def test_shapes_are_read_and_the_rest_is_said() -> None:
    imported = _import(timm_state())
    config = imported.config
    assert (config.image_height, config.image_width, config.patch, config.channels) == (32, 32, 8, 3)
    assert (config.dim, config.depth, config.heads, config.mlp_hidden) == (32, 4, HEADS, 64)
    assert [(task.name, task.kind, task.outputs) for task in config.tasks] == [("class", "classification", 10)]
    assert imported.function["pixels"].startswith("(p / 255 - [0.5]) / [0.5], folded")
    with pytest.raises(CheckpointError, match="--heads: a checkpoint does not say it, and dim 32"):
        _import(timm_state(), heads=None)
    with pytest.raises(CheckpointError, match="--heads 5: dim 32 is not a multiple"):
        _import(timm_state(), heads=5)
    with pytest.raises(CheckpointError, match="image size 32x42 is no multiple of the patch, 8x8 pixels"):
        _import(timm_state(), image_size=(32, 42))
    wide = _import(timm_state(), image_size=(16, 64))  # as many patches: another form of the same table
    assert (wide.config.image_width, [note for note in wide.notes if "resized" in note]) == (64, [])
    larger = _import(timm_state(), image_size=(32, 40))
    assert larger.config.image_width == 40
    assert any("position embedding resized from 4x4 to 4x5 patches" in note for note in larger.notes)


def test_a_distillation_token_is_dropped_on_request_only() -> None:
    arrays = timm_state(1, distilled=True)
    assert _import(arrays).config.class_token == "distilled"
    imported = _import(arrays, drop_distillation=True)
    without = {name: array for name, array in arrays.items() if "dist" not in name}
    without["pos_embed"] = np.delete(arrays["pos_embed"], 1, axis=1)
    picture = image(32, 32)
    logits = FloatModel(imported.arrays, imported.config).run(picture, "class")["heads.class"]
    np.testing.assert_allclose(logits, classify(as_torch(without), picture, HEADS, [0.5], [0.5]), rtol=2e-5, atol=2e-5)
    assert imported.facts["distillation_dropped"] is True


@pytest.mark.parametrize("form", ["ls{}.gamma", "gamma_{}"])
def test_layer_scale_is_folded_exactly(form: str) -> None:
    arrays, rng = timm_state(6), np.random.default_rng(6)
    for block in range(4):
        for index in (1, 2):
            gamma = rng.normal(0.5, 0.4, DIM)
            gamma[3] = 0.0
            arrays[f"blocks.{block}.{form.format(index)}"] = gamma.astype(np.float32)
    imported = _import(arrays)
    picture = image(32, 32, 1)
    logits = FloatModel(imported.arrays, imported.config).run(picture, "class")["heads.class"]
    np.testing.assert_allclose(logits, classify(as_torch(arrays), picture, HEADS, [0.5], [0.5]), rtol=2e-5, atol=2e-5)
    without = _import({name: array for name, array in arrays.items() if "gamma" not in name})
    assert np.abs(FloatModel(without.arrays, without.config).run(picture, "class")["heads.class"] - logits).max() > 0.1
    assert imported.function["LayerScale"].startswith("8 vectors multiplied into")
    gamma = arrays[f"blocks.2.{form.format(2)}"]
    np.testing.assert_allclose(imported.arrays["blocks.2.fc2.bias"], arrays["blocks.2.mlp.fc2.bias"] * gamma, rtol=1e-6)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("blocks.0.attn.q_norm.weight", "normalisation of queries and keys"),
        ("blocks.2.mlp.w12.weight", "gated and normalised MLPs"),
        ("fc_norm.weight", "fc_norm.bias is missing"),
        ("pre_logits.fc.weight", "pre_logits layer"),
        ("reg_token", "reg_token has shape [32], expected [1, rows, channels]"),
        ("layers.0.blocks.0.norm1.weight", "windowed and staged"),
        ("blocks.0.conv.weight", "blocks.0.conv.weight: not part of any layer that this import knows"),
    ],
)
def test_layers_that_cannot_run_are_refused_by_name(extra: str, says: str) -> None:
    with pytest.raises(CheckpointError) as found:
        _import(timm_state() | {extra: np.ones(DIM, dtype=np.float32)})
    assert says in str(found.value)
    assert str(found.value).startswith("net.pth: ")


def _with(name: str, change: Any) -> Arrays:
    arrays = timm_state()
    arrays[name] = change(arrays[name].copy())
    return arrays


def _put(array: Any, where: Any, value: float) -> Any:
    array[where] = value
    return array


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        (
            _with("blocks.2.mlp.fc1.weight", lambda a: _put(a, (3, 4), np.nan)),
            r"blocks\.2\.mlp\.fc1\.weight holds 1 NaN or infinite values, the first at \[3, 4\]",
        ),
        (_with("norm.bias", lambda a: a.astype(np.float64) * 1e300), r"norm\.bias holds \d+ NaN or infinite"),
        (_with("blocks.1.attn.qkv.weight", lambda a: a[:-1]), r"qkv\.weight has shape \[95, 32\], expected \[96, 32\]"),
        (_with("pos_embed", lambda a: a[0]), r"pos_embed has shape \[17, 32\], expected \[1, rows"),
        (_with("head.weight", lambda a: _put(a, 7, 0.25)), r"head\.weight: .* 1 of 10 channels .*zero variance.*\[7\]"),
        (
            _with("blocks.0.norm2.weight", lambda a: _put(a, 5, 0)),
            r"blocks\.0\.norm2\.weight: .*1 of 32 channels are zero",
        ),
        (_with("patch_embed.proj.weight", lambda a: a[:, :1]), r"patch_embed\.proj\.weight has shape \[32, 1, 8, 8\]"),
        (_with("head.bias", lambda a: a.astype(np.int64)), r"head\.bias holds int64"),
        (
            timm_state() | {"blocks.1.ls1.gamma": np.ones(DIM - 1)},
            r"blocks\.1\.ls1\.gamma has shape \[31\], expected \[32\]",
        ),
        (
            timm_state() | {"blocks.2.ls2.gamma": np.full(DIM, np.inf)},
            r"blocks\.2\.ls2\.gamma holds 32 NaN or infinite",
        ),
        ({k: v for k, v in timm_state().items() if "blocks.1." not in k}, r"blocks\.1 is missing"),
        ({k: v for k, v in timm_state().items() if k != "head.weight"}, r"head\.bias: not part of any layer"),
        (
            {k: v for k, v in timm_state().items() if k != "blocks.3.attn.proj.bias"},
            r"blocks\.3\.attn\.proj\.bias is mis",
        ),
    ],
)
def test_bad_tensors_are_named(arrays: Arrays, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        _import(arrays)


def test_dead_channels_pass_when_the_user_says_so() -> None:
    arrays = _with("head.weight", lambda a: _put(a, 7, 0.0))
    imported = _import(arrays, allow_dead=True)
    assert (imported.arrays["heads.class.weight"][7] == 0).all()


def test_a_projection_without_bias_gets_zeros_and_odd_position_tables_are_refused() -> None:
    arrays = {name: array for name, array in timm_state().items() if not name.endswith("qkv.bias")}
    assert not _import(arrays).arrays["blocks.1.query.bias"].any()
    with pytest.raises(CheckpointError, match="--image-size HxW is needed: pos_embed has 11 patches"):
        _import(_with("pos_embed", lambda a: a[:, :12]))
    alone = _import(_with("pos_embed", lambda a: a[:, :16]))  # a square: the class token has no row in it
    assert alone.arrays["position"].shape == (17, DIM)
    assert not alone.arrays["position"][0].any()
