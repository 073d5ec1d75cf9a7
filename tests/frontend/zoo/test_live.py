"""hwgen.from_timm: the network that a live module is, or a refusal that names the part which makes it another one."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hwgen
from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.frontend.importers.expect import USUAL_DB, decibels
from hwgen.frontend.importers.imported import IMAGENET_MEAN, IMAGENET_STD, Imported, ImportOptions
from hwgen.frontend.importers.timm_run import import_live
from hwgen.frontend.store import load_float, load_model
from tests.frontend.zoo.others import DEPTH, DIM, Make, distilled, noise, normalised, plain, random_weights, timm, vit

layers: Any = timm.layers

ACCEPTED: dict[str, Make] = {
    "plain": plain,
    "ReLU": partial(plain, act_layer="relu"),
    "SiLU": partial(plain, act_layer="silu"),
    "Hardswish": partial(plain, act_layer="hard_swish"),
    "Hardswish of torch": partial(plain, act_layer=nn.Hardswish),
    "QuickGELU": partial(plain, act_layer="quick_gelu"),
    "GELU by tanh": partial(plain, act_layer="gelu_tanh"),
    "GELU of torch by tanh": partial(plain, act_layer=partial(nn.GELU, approximate="tanh")),
    "LayerScale": partial(plain, init_values=0.3),
    "one class": partial(plain, num_classes=1),
    "one patch": partial(plain, img_size=8),
    "one head": partial(plain, num_heads=1),
    "eight heads": partial(plain, num_heads=8),
    "no bias of qkv": partial(plain, qkv_bias=False),
    "no biases in blocks": partial(plain, qkv_bias=False, proj_bias=False),
    "epsilon 1e-5": partial(plain, norm_layer=nn.LayerNorm),
    "epsilon 1e-3": partial(plain, norm_layer=partial(nn.LayerNorm, eps=1e-3)),
    "four registers": partial(plain, reg_tokens=4),
    "DINOv2: four registers without position": partial(plain, reg_tokens=4, no_embed_class=True, init_values=1e-1),
    "DeiT 3: class token without position": partial(plain, no_embed_class=True, init_values=0.2),
    "mean pooling": partial(plain, global_pool="avg", fc_norm=False),
    "mean pooling, fc_norm": partial(plain, global_pool="avg"),
    "mean pooling, no class token": partial(plain, global_pool="avg", class_token=False, fc_norm=False),
    "mean pooling, no class token, fc_norm": partial(plain, global_pool="avg", class_token=False),
    "mean pooling, registers, fc_norm": partial(plain, global_pool="avg", class_token=False, reg_tokens=2),
    "class token, fc_norm": partial(plain, fc_norm=True),
    "no position embedding": partial(plain, pos_embed="none"),
    "no classifier": partial(plain, num_classes=0),
    "no classifier, fc_norm of the class token": partial(plain, num_classes=0, fc_norm=True),
    "no classifier, distilled DeiT": partial(distilled, num_classes=0),
    "no classifier, mean pooling": partial(plain, num_classes=0, global_pool="avg"),
    "no classifier, every token": partial(plain, num_classes=0, global_pool=""),
    "wide image": partial(plain, img_size=(16, 48)),
    "images of any size": partial(plain, dynamic_img_size=True),
    "patches of 4 pixels": partial(plain, patch_size=4, img_size=24),
    "patches of 14 pixels": partial(plain, patch_size=14, img_size=42),
    "drop rates": partial(plain, drop_rate=0.5, attn_drop_rate=0.5, proj_drop_rate=0.5, drop_path_rate=0.5),
    "patch dropout": partial(plain, patch_drop_rate=0.5),
    "distilled DeiT": distilled,
    "distilled DeiT, ReLU": partial(distilled, act_layer="relu"),
}


def _imported(model: nn.Module, **options: Any) -> Imported:
    return import_live(model, ImportOptions(name="net", **options))[0]


def _decibels(model: nn.Module, imported: Imported, image: np.ndarray, **pixels: Any) -> float:
    """Agreement of the float network with the module on an image that the import has not seen."""
    task = imported.config.tasks[0]
    with torch.no_grad():
        run: Any = model.forward_features if task.kind == "features" else model
        expected = run(normalised(image, **pixels))[0].double().numpy()
    ours = FloatModel(imported.arrays, imported.config).run(image, task.name)[f"heads.{task.name}"]
    return decibels(expected.ravel(), ours.ravel())


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_configuration_is_imported_as_it_is(name: str):
    model = ACCEPTED[name]()
    imported = _imported(model)
    config = imported.config
    assert _decibels(model, imported, noise((config.image_height, config.image_width), 1)) >= USUAL_DB
    assert config.depth == DEPTH


def _replaced(place: str, part: nn.Module) -> nn.Module:
    """A plain network with one part changed behind timm's back."""
    model = plain()
    parent, _, name = place.rpartition(".")
    setattr(model.get_submodule(parent), name, part)
    return random_weights(model)


def _changed(place: str, name: str, value: Any) -> nn.Module:
    """A plain network with one attribute changed."""
    model = plain()
    setattr(model.get_submodule(place), name, value)
    return model


def _meta(name: str, **options: Any) -> nn.Module:
    """A network of timm's registry without values; its class says enough."""
    with torch.device("meta"):
        return timm.create_model(name, **options)


REFUSED: dict[str, tuple[Make, str]] = {
    "swin": (partial(_meta, "swin_tiny_patch4_window7_224"), "a SwinTransformer, .*: its attention looks through shi"),
    "levit": (partial(_meta, "levit_128s"), "a LevitDistilled, .*: it is a pyramid with convolutions"),
    "tiny_vit": (partial(_meta, "tiny_vit_5m_224"), "a TinyVit, .*: it is a pyramid"),
    "beit": (partial(_meta, "beit_base_patch16_224"), "a Beit, .*: its attention has relative position biases"),
    "rope": (partial(_meta, "vit_small_patch16_rope_224"), "a Eva, .*: it has rotary position embeddings"),
    "eva": (partial(_meta, "eva02_tiny_patch14_224"), "a Eva, .*: it has rotary position embeddings or gated MLPs"),
    "relative position": (partial(_meta, "vit_relpos_small_patch16_224"), "a VisionTransformerRelPos, .*: its atten"),
    "cait": (partial(_meta, "cait_xxs24_224"), "a Cait, .*: its attention mixes heads"),
    "a network without attention": (partial(_meta, "resnet18"), "a ResNet, which this import does not know; it read"),
    "hybrid stem": (partial(_meta, "vit_tiny_r_s16_p8_224"), r"patch_embed is a HybridEmbed \(embed_layer\)"),
    "CLIP": (partial(_meta, "vit_base_patch32_clip_224"), r"norm_pre is a LayerNorm \(pre_norm\), another function"),
    "qk_norm": (partial(plain, qk_norm=True), r"blocks\.0\.attn\.q_norm is a LayerNorm \(qk_norm\)"),
    "norm in attention": (partial(plain, scale_attn_norm=True), r"attn\.norm is a LayerNorm \(scale_attn_norm\)"),
    "norm in MLP": (partial(plain, scale_mlp_norm=True), r"mlp\.norm is a LayerNorm \(scale_mlp_norm\)"),
    "norm before the blocks": (partial(plain, pre_norm=True), r"norm_pre is a LayerNorm \(pre_norm\)"),
    "no norm behind the blocks": (partial(plain, final_norm=False), "final_norm = false, another function"),
    "post-norm": (partial(plain, block_fn=vit.ResPostBlock), r"blocks\.0 is a ResPostBlock \(block_fn\).* has Block"),
    "parallel": (partial(plain, block_fn=vit.ParallelScalingBlock), r"blocks\.0 is a ParallelScalingBlock"),
    "parallel things": (partial(plain, block_fn=vit.ParallelThingsBlock), r"blocks\.0 is a ParallelThingsBlock"),
    "SwiGLU": (partial(plain, mlp_layer=layers.SwiGLU), r"blocks\.0\.mlp is a SwiGLU \(mlp_layer\).* has Mlp there"),
    "packed SwiGLU": (partial(plain, mlp_layer=layers.GluMlp), r"blocks\.0\.mlp is a GluMlp"),
    "differential attention": (partial(plain, attn_layer="diff"), r"attn is a DiffAttention \(attn_layer\)"),
    "RMS norm": (partial(plain, norm_layer="rmsnorm"), r"is a RmsNorm \(norm_layer\).* has LayerNorm"),
    "map pooling": (partial(plain, global_pool="map"), r"attn_pool is a AttentionPoolLatent \(global_pool = map"),
    "max pooling": (partial(plain, global_pool="max"), 'global_pool = "max", another function'),
    "mean and max pooling": (partial(plain, global_pool="avgmax"), 'global_pool = "avgmax", another function'),
    "mean of all tokens": (partial(plain, global_pool="avg", pool_include_prefix=True), "pool_include_prefix = true"),
    "a head on every token": (partial(plain, global_pool=""), 'global_pool = "", another function'),
    "fc_norm of every token": (
        partial(plain, num_classes=0, global_pool="", fc_norm=True),
        'global_pool = "", another',
    ),
    "ELU": (partial(plain, act_layer="elu"), r"blocks\.0\.mlp\.act is a ELU \(act_layer\)"),
    "Mish": (partial(plain, act_layer="mish"), r"mlp\.act is a Mish\w* \(act_layer\)"),
    "norm of patches": (partial(plain, embed_norm_layer=nn.LayerNorm), r"patch_embed\.norm is a LayerNorm"),
    "oblong patches": (partial(plain, patch_size=(8, 16)), r"patch_embed\.proj\.weight has shape \[64, 3, 8, 16\]"),
    "grey pictures": (partial(plain, in_chans=1), r"shape \[64, 1, 8, 8\]"),
    "one other activation": (
        partial(_replaced, "blocks.1.mlp.act", nn.ReLU()),
        r"act: gelu in .*, relu in blocks\.1",
    ),
    "one other epsilon": (partial(_replaced, "norm", nn.LayerNorm(DIM, eps=1e-2)), "epsilon of LayerNorm: 1e-06 in "),
    "a part that nobody knows": (partial(_replaced, "head_drop", nn.Softmax(-1)), "head_drop is a Softmax, another"),
    "another scale of scores": (partial(_changed, "blocks.1.attn", "scale", 0.1), r"blocks\.1\.attn\.scale = 0\.1"),
    "fewer heads in a block": (
        lambda: _replaced("blocks.1.attn", vit.Attention(DIM, num_heads=4, qkv_bias=True)),
        r"heads: 2 in blocks\.0\.attn, 4 in blocks\.1\.attn",
    ),
    "narrow heads": (
        lambda: _replaced("blocks.1.attn", vit.Attention(DIM, num_heads=2, attn_head_dim=16, qkv_bias=True)),
        r"blocks\.1\.attn\.head_dim = 16",
    ),
    "gated attention": (
        lambda: _replaced("blocks.0.attn", vit.Attention(DIM, num_heads=2, qkv_bias=True, gated=True)),
        r"blocks\.0\.attn\.gate",
    ),
    "two last norms": (partial(_replaced, "fc_norm", nn.LayerNorm(DIM, eps=1e-6)), "norm and fc_norm are both Layer"),
    "no values": (partial(_meta, "vit_tiny_patch16_224", depth=1), r"\w+ has no values \(device meta\)"),
    "registers that DeiT ignores": (partial(distilled, reg_tokens=2), "reg_tokens = 2: timm ignores them here"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_another_function_is_refused_by_name(name: str):
    make, says = REFUSED[name]
    with pytest.raises(CheckpointError, match=says) as found:
        _imported(make())
    assert str(found.value).startswith("the module: ")


def test_there_are_enough_of_both():
    assert len(ACCEPTED) >= 25
    assert len(REFUSED) >= 25


def test_what_attributes_do_not_show_is_found_by_running():
    """A hook, or a subclass of the same name, changes nothing that can be read."""
    model = plain()
    model.blocks[0].mlp.register_forward_hook(lambda _module, _inputs, output: output * 1.5)  # type: ignore[index, union-attr]
    with pytest.raises(CheckpointError, match=r"the module: class -?\d+\.\d dB .* at least 60 are needed") as found:
        _imported(model)
    assert "the first block that differs is blocks.0, " in str(found.value)
    other: Any = type(
        "Attention", (vit.Attention,), {"forward": lambda self, x, **_: self.proj(self.qkv(x)[..., :DIM])}
    )
    model = plain()
    model.blocks[1].attn = other(DIM, num_heads=2, qkv_bias=True)  # type: ignore[index, union-attr]
    with pytest.raises(CheckpointError, match=r"the first block that differs is blocks\.1, "):
        _imported(random_weights(model))
    model = plain()
    model.head.register_forward_hook(lambda _module, _inputs, output: output**2)  # type: ignore[union-attr]
    with pytest.raises(CheckpointError, match=r"all blocks agree, to 1\d\d\.\d dB and more: what differs comes behind"):
        _imported(model)


@pytest.mark.parametrize("make", [plain, distilled, partial(plain, reg_tokens=2, no_embed_class=True)])
def test_another_image_size(make: Make):
    """The module's own way to take larger images is what the import does to its position embedding."""
    model = make()
    imported = _imported(model, image_size=(40, 24))
    assert (imported.config.image_height, imported.config.image_width) == (40, 24)
    assert any("position embedding resized from 4x4 to 5x3 patches" in note for note in imported.notes)
    model.set_input_size(img_size=(40, 24))  # type: ignore[operator]
    assert _decibels(model, imported, noise((40, 24))) >= USUAL_DB
    with pytest.raises(CheckpointError, match="image size 42x24 is no multiple of the patch, 8x8 pixels"):
        _imported(model, image_size=(42, 24))


def test_pixels_are_those_of_the_module():
    model: Any = plain()
    model.pretrained_cfg = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "architecture": "vit_mine"}
    imported = _imported(model)
    assert imported.function["pixels"].endswith("(the module)")
    assert _decibels(model, imported, noise(), mean=np.array(IMAGENET_MEAN), std=np.array(IMAGENET_STD)) >= USUAL_DB
    with pytest.raises(CheckpointError, match=r"--mean 0\.1: the module says 0\.485,0\.456,0\.406; leave"):
        _imported(model, mean=(0.1,))
    assert _imported(plain(), mean=(0.1,)).facts["mean"] == [0.1]


def test_half_precision_and_training_mode_are_put_aside():
    model = plain().half().train()
    imported = _imported(model)
    assert model.training
    assert next(model.parameters()).dtype == torch.float16
    assert _decibels(model.float().eval(), imported, noise()) >= USUAL_DB


def test_from_timm_writes_a_package(tmp_path: Path):
    said: list[str] = []
    model = plain(act_layer="relu")
    path = hwgen.from_timm(model, "mine", output=tmp_path / "nets", calib_images=2, say=said.append)
    assert sorted(file.name for file in (tmp_path / "nets").iterdir()) == ["mine.float.safetensors", "mine.safetensors"]
    assert path == tmp_path / "nets" / "mine.safetensors"
    package = load_model(str(path))
    assert package.config.activation == "relu"
    assert package.provenance["import"] == "timm"
    assert package.provenance["agreement"]["decibels"]["class"] >= USUAL_DB
    assert any(line.startswith("agrees with your framework: class 1") for line in said)
    assert any(line.startswith("note: activation: relu, max(x, 0), between") for line in said)
    image = noise()
    real = FloatModel(load_float(str(path)), package.config).run(image, "class")["heads.class"]
    codes = run_network(package, image, "class")["heads.class"] * package.scales["heads.class"]
    assert decibels(real, codes) > 20
    with pytest.raises(hwgen.PackageError, match="qk_norm"):
        hwgen.from_timm(plain(qk_norm=True), "other", output=tmp_path / "none")
    assert not (tmp_path / "none").exists()
    for name, says in (
        ("vit-tiny", "is the name of a preset"),
        ("a b", "give at most 64 letters"),
        ("x.float", "float"),
    ):
        with pytest.raises(hwgen.InputError, match=says):
            hwgen.from_timm(model, name, output=tmp_path)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"name": 3}, "name = 3: give a name or a path"),
        ({"output": None}, "output = None: give a name or a path"),
        ({"calib_images": 0}, "calib_images = 0: give at least 1"),
        ({"image_size": 32}, r"image_size = 32: give \(height, width\) in pixels"),
        ({"image_size": (32, "a")}, "image_size = 'a': give a whole number"),
        ({"mean": "imagenet"}, "mean = 'imagenet': give a number, or one"),
        ({"std": ()}, r"std = \(\): give a number"),
        ({"std": (0.5, 0.0, 0.5)}, "--std must be positive"),
        ({"mean": (0.5, 0.5)}, "--mean and --std need 1 or 3 values, got 2 and 1"),
        ({"calib": "nowhere"}, "--calib nowhere: no such folder"),
        ({"model": "vit"}, "the module: a str, which this import does not know"),
    ],
)
def test_what_cannot_be_used_is_named(words: dict[str, Any], says: str, tmp_path: Path):
    given = {"model": plain(), "name": "net", "output": tmp_path / "none", **words}
    with pytest.raises(ValueError, match=says):
        hwgen.from_timm(given.pop("model"), given.pop("name"), **given)
    assert not (tmp_path / "none").exists()


def test_a_distillation_token_can_be_left_out():
    model: Any = distilled()
    imported, agreed, _ = import_live(model, ImportOptions(name="net", drop_distillation=True))
    assert agreed is None  # the module is another network
    image = noise()
    ours = FloatModel(imported.arrays, imported.config).run(image, "class")["heads.class"]
    with torch.no_grad():
        x = model.patch_embed(normalised(image))
        x = torch.cat([model.cls_token, x], 1) + model.pos_embed[:, [0, *range(2, model.pos_embed.shape[1])]]
        expected = model.head(model.norm(model.blocks(x))[:, 0]).double().numpy()
    assert decibels(expected, ours) >= USUAL_DB
    assert decibels(model(normalised(image)).detach().double().numpy(), ours) < USUAL_DB


def test_two_class_tokens_are_two_heads():
    imported = _imported(distilled())
    assert imported.config.class_token == "distilled"
    assert imported.arrays["heads.class.weight"].shape[1] == 2 * DIM
