"""Checkpoints as timm saves them, weights and config.json: the network that was saved, or a refusal."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.importers.checkpoint import CheckpointError, read_checkpoint
from hwgen.frontend.importers.expect import USUAL_DB, decibels
from hwgen.frontend.importers.form import Form, Said
from hwgen.frontend.importers.function import assumed
from hwgen.frontend.importers.imported import Imported, ImportOptions
from hwgen.frontend.importers.timm import import_timm
from hwgen.frontend.importers.timm_described import TimmNetwork
from hwgen.frontend.importers.timm_live import live_network
from hwgen.frontend.importers.timm_names import architecture
from tests.frontend.zoo.others import noise, normalised, random_weights, timm

registry: Any = timm.models._registry
hub: Any = timm.models._hub
SMALL: dict[str, Any] = {"img_size": 32, "patch_size": 8, "depth": 2, "num_classes": 10}
PLACES = ("timm.models.vision_transformer", "timm.models.deit")
NAMES = [name for name in timm.list_models() if registry.model_entrypoint(name).__module__ in PLACES]


def _saved(model: nn.Module, folder: Path) -> Imported:
    """What is imported of what timm saves of a network."""
    hub.save_for_hf(model, folder, safe_serialization=True)
    return import_timm(read_checkpoint(folder / "model.safetensors"), ImportOptions(name="net"))


def _decibels(model: Any, imported: Imported) -> float:
    task, image = imported.config.tasks[0], noise((imported.config.image_height, imported.config.image_width))
    rule = imported.pixels
    with torch.no_grad():
        run = model.forward_features if task.kind == "features" else model
        expected = run(normalised(image, np.array(rule.mean), np.array(rule.std)))[0].double().numpy()
    ours = FloatModel(imported.arrays, imported.config).run(image, task.name)[f"heads.{task.name}"]
    return decibels(expected.ravel(), ours.ravel())


ACCEPTED: dict[str, tuple[str, dict[str, Any]]] = {
    "ViT": ("vit_tiny_patch16_224", {}),
    "DeiT": ("deit_tiny_patch16_224", {}),
    "distilled DeiT": ("deit_tiny_distilled_patch16_224", {}),
    "DeiT 3": ("deit3_small_patch16_224", {"embed_dim": 96, "num_heads": 3}),
    "DINOv2": ("vit_small_patch14_dinov2", {"embed_dim": 96, "num_heads": 3}),
    "DINOv2 with registers": ("vit_small_patch14_reg4_dinov2", {"embed_dim": 96, "num_heads": 3}),
    "DINOv2 as features": ("vit_small_patch14_dinov2", {"embed_dim": 96, "num_heads": 3, "num_classes": 0}),
    "mean pooling": ("vit_base_patch16_gap_224", {"embed_dim": 96, "num_heads": 3}),
    "mean pooling, fc_norm": ("vit_medium_patch16_reg4_gap_256", {"embed_dim": 96, "num_heads": 3}),
    "SigLIP with mean pooling": ("vit_base_patch32_siglip_gap_256", {"embed_dim": 96, "num_heads": 3}),
    "ReLU": ("vit_tiny_patch16_224", {"act_layer": "relu"}),
    "QuickGELU": ("vit_tiny_patch16_224", {"act_layer": "quick_gelu"}),
    "no position": ("vit_tiny_patch16_224", {"pos_embed": "none"}),
    "another number of heads": ("vit_tiny_patch16_224", {"num_heads": 6}),
    "ViT, changed to mean pooling": ("vit_tiny_patch16_224", {"global_pool": "avg"}),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_timm_saves_is_imported_as_it_is(name: str, tmp_path: Path):
    architecture, changes = ACCEPTED[name]
    model = random_weights(timm.create_model(architecture, **{**SMALL, **changes}))
    imported = _saved(model, tmp_path)
    assert _decibels(model, imported) >= USUAL_DB
    assert assumed(imported.function) == []


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "CLIP": ("vit_base_patch32_clip_224", {}, "architecture vit_base_patch32_clip_224.*: pre_norm = true"),
    "SigLIP": ("vit_base_patch16_siglip_224", {}, 'architecture vit_base_patch16_siglip_224.*: global_pool = "map"'),
    "post-norm": ("vit_base_patch16_rpn_224", {}, 'block_fn = "ResPostBlock", another function'),
    "parallel": ("vit_base_patch16_xp_224", {}, "pre_norm = true"),
    "qk_norm": ("vit_tiny_patch16_224", {"qk_norm": True}, "model_args: qk_norm = true, another function"),
    "max pooling": ("vit_tiny_patch16_224", {"global_pool": "max"}, 'global_pool = "max", another function'),
    "RMS norm": ("vit_tiny_patch16_224", {"norm_layer": "rmsnorm"}, 'norm_layer = "rmsnorm", another function'),
    "rope": ("vit_small_patch16_rope_ape_224", {}, "architecture vit_small_patch16_rope_ape_224.*: rope = true"),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": 32, "window_size": 2, "patch_size": 4},
        "window_size = 2: this",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_another_function_is_refused(name: str, tmp_path: Path):
    architecture, changes, says = REFUSED[name]
    sizes: dict[str, Any] = {"num_classes": 10} if "swin" in name else {"embed_dim": 96, "num_heads": 3, **SMALL}
    if name == "rope":
        sizes.pop("patch_size")
    with pytest.raises(CheckpointError, match=says):
        _saved(timm.create_model(architecture, **{**sizes, **changes}), tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stands_for_what_timm_makes_of_it(name: str):
    """Every ``VisionTransformer`` of timm's registry, one block of it and without values."""
    stands_for = architecture(name)
    assert stands_for.known
    with torch.device("meta"):
        model = timm.create_model(name, depth=1)
    args = {key: Said(value=value, where=name) for key, value in (stands_for.args | stands_for.fixed).items()}
    common = {"label": "", "source": "", "advice": "", "kind": "file"}
    named = TimmNetwork(architecture=name, known=True, args=args, pixels={}, input_size=None, **common)
    try:
        live = live_network(model)
        wanted = live.form(Form())
    except CheckpointError:
        with pytest.raises(CheckpointError):
            named.form(Form())
        return
    found = named.form(Form())
    assert {**vars(found), "sources": None} == {**vars(wanted), "sources": None}
    for size in ("embed_dim", "num_heads"):
        assert args[size].value == live.args[size].value
    assert [args["patch_size"].value] * 2 == live.args["patch_size"].value


def test_names_are_enough():
    assert len(NAMES) > 150


def test_a_name_of_nobody_prints_what_is_assumed(tmp_path: Path):
    """A class of one's own may compute anything; what its arrays and entries do not say is named."""
    model = random_weights(timm.create_model("vit_tiny_patch16_224", **SMALL))
    hub.save_for_hf(model, tmp_path, safe_serialization=True)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "architecture": "mine"}))
    imported = import_timm(read_checkpoint(tmp_path / "model.safetensors"), ImportOptions(name="net"))
    assert set(assumed(imported.function)) >= {"activation", "norm order", "epsilon"}
    assert any("what timm computes for architecture mine is not known here" in note for note in imported.notes)
