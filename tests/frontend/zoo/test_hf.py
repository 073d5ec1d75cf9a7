"""Checkpoints as transformers saves them: the network that was saved, to float precision, or a refusal by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from golden.network import run_network
from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.frontend.importers.expect import USUAL_DB
from hwgen.frontend.importers.hf_kinds import ACTIVATIONS, KINDS
from hwgen.frontend.importers.hf_pixels import read_pixels
from hwgen.frontend.importers.imported import PixelRule
from hwgen.frontend.store import load_model
from tests.frontend.importers.command import run
from tests.frontend.zoo.hugging import agreement, answer, imported, made, saved
from tests.frontend.zoo.others import SIDE, noise, transformers

ACCEPTED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "ViT": ("ViTModel", {}, {}),
    "ViT without pooler": ("ViTModel", {"add_pooling_layer": False}, {}),
    "ViT with mask token": ("ViTModel", {"use_mask_token": True}, {}),
    "ViT, classifier": ("ViTForImageClassification", {}, {}),
    "ViT, one block, one head, one class": (
        "ViTForImageClassification",
        {},
        {"num_hidden_layers": 1, "num_attention_heads": 1, "num_labels": 1},
    ),
    "ViT, a single patch": ("ViTForImageClassification", {}, {"image_size": 8}),
    "ViT, wide": ("ViTForImageClassification", {}, {"image_size": (16, 40)}),
    "ViT, as many patches as a square": ("ViTModel", {}, {"image_size": [16, 64]}),
    "ViT, no bias of qkv": ("ViTForImageClassification", {}, {"qkv_bias": False}),
    "ViT, large epsilon": ("ViTForImageClassification", {}, {"layer_norm_eps": 0.05}),
    "ViT, small heads": ("ViTForImageClassification", {}, {"num_attention_heads": 8}),
    "DeiT": ("DeiTModel", {}, {}),
    "DeiT, classifier": ("DeiTForImageClassification", {}, {}),
    "DeiT, two heads": ("DeiTForImageClassificationWithTeacher", {}, {}),
    "DeiT, two heads, wide": ("DeiTForImageClassificationWithTeacher", {}, {"image_size": [40, 16]}),
    "DINOv2": ("Dinov2Model", {}, {}),
    "DINOv2 without mask token": ("Dinov2Model", {}, {"use_mask_token": False}),
    "DINOv2, no bias of qkv": ("Dinov2Model", {}, {"qkv_bias": False}),
    "DINOv2, wide: resized from a square": ("Dinov2Model", {}, {"image_size": [16, 64]}),
    "DINOv2 with registers": ("Dinov2WithRegistersModel", {}, {}),
    "DINOv2 with one register, wide": (
        "Dinov2WithRegistersModel",
        {},
        {"num_register_tokens": 1, "image_size": [16, 64]},
    ),
    "DINOv2 with no registers": ("Dinov2WithRegistersModel", {}, {"num_register_tokens": 0}),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_saved_is_imported_as_it_is(name: str, tmp_path: Path):
    kind, arguments, changes = ACCEPTED[name]
    model = made(kind, arguments, **changes)
    ours = imported(saved(model, tmp_path))
    assert agreement(answer(model, ours), ours) >= 100
    assert ours.facts["architecture"] == kind
    assert [part for part, text in ours.function.items() if text.endswith("(assumed)")] == ["pixels"]


RESIZED = [
    ("ViTModel", 32, (48, 48)),
    ("ViTForImageClassification", 32, (16, 64)),  # as many patches, and another grid
    ("ViTForImageClassification", 40, (16, 24)),
    ("ViTModel", (16, 64), (32, 32)),  # the table is taken for a square's
    ("DeiTModel", 32, (24, 56)),
    ("DeiTForImageClassification", 32, (8, 8)),
    ("DeiTForImageClassificationWithTeacher", 32, (48, 24)),
    ("Dinov2Model", 32, (24, 48)),
    ("Dinov2Model", (16, 64), (24, 48)),
    ("Dinov2WithRegistersModel", 40, (16, 24)),  # antialiased: it tells where patches become fewer
    ("Dinov2WithRegistersModel", 32, (48, 56)),
]


@pytest.mark.parametrize(("kind", "side", "size"), RESIZED)
def test_another_size_is_resized_as_transformers_does_it(kind: str, side: Any, size: tuple[int, int], tmp_path: Path):
    model = made(kind, image_size=side)
    ours = imported(saved(model, tmp_path), image_size=size)
    arguments = {} if kind.startswith("Dino") else {"interpolate_pos_encoding": True}
    assert agreement(answer(model, ours, **arguments), ours) >= 100
    notes = [note for note in ours.notes if "position embedding resized" in note]
    if (side, size) != ((16, 64), (32, 32)):
        other = "" if "Registers" in kind else "not "
        assert [note.endswith(f"(bicubic, {other}antialiased, as transformers does it)") for note in notes] == [True]


@pytest.mark.parametrize("name", sorted(transformers.activations.ACT2CLS))
def test_an_activation_is_the_same_function_or_refused(name: str, tmp_path: Path):
    model = made("ViTForImageClassification", hidden_act=name)
    folder = saved(model, tmp_path)
    if name in ACTIVATIONS:
        ours = imported(folder)
        assert agreement(answer(model, ours), ours) >= 100
        return
    with pytest.raises(CheckpointError, match=f'config.json: hidden_act = "{name}", another function: .* gelu_tanh'):
        imported(folder)


def test_every_activation_is_one_of_transformers():
    assert set(ACTIVATIONS) <= set(transformers.activations.ACT2CLS)


def test_what_is_missing_in_the_file_is_what_transformers_takes():
    for name, kind in KINDS.items():
        config = transformers.AutoConfig.for_model(name)
        assert {entry: getattr(config, entry) for entry in kind.defaults} == dict(kind.defaults)
        assert all(hasattr(transformers, known) for known in (*kind.classes, *kind.mean_beside_token))
        assert getattr(transformers, next(iter(kind.classes))).base_model_prefix == kind.prefix


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "SwiGLU": (
        "Dinov2Model",
        {"use_swiglu_ffn": True},
        "use_swiglu_ffn = true, another function: the machine computes",
    ),
    "backbone without LayerNorm": ("Dinov2Model", {"apply_layernorm": False}, "apply_layernorm = false, another funct"),
    "class token and mean": (
        "Dinov2ForImageClassification",
        {},
        r"Dinov2ForImageClassification reads .*: model\.dinov2\.save_pretrained\(FOLDER\)",
    ),
    "the same with registers": (
        "Dinov2WithRegistersForImageClassification",
        {},
        r"mean of the patches, .*: model\.dinov2_with_registers\.save_pretrained\(FOLDER\)",
    ),
    "outputs of stages": ("Dinov2Backbone", {"out_indices": [1]}, r"this import knows Dinov2Model"),
    "masked images": ("ViTForMaskedImageModeling", {"encoder_stride": 8}, r"ViTForMaskedImageModeling.* this import"),
    "grey pictures": ("ViTModel", {"num_channels": 1}, "num_channels = 1, another function"),
    "no head where there should be one": ("ViTForImageClassification", {"num_labels": 0}, "which have none"),
    "patches that are no squares": ("ViTModel", {"patch_size": [8, 16]}, r"expected \[dim, 3, patch, patch\]"),
    "parts of patches": ("ViTModel", {"image_size": 36}, "image size 36x36 is no multiple of the patch"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_another_function_is_refused_by_name(name: str, tmp_path: Path):
    kind, changes, says = REFUSED[name]
    with pytest.raises(CheckpointError, match=says):
        imported(saved(made(kind, **changes), tmp_path))


def test_a_dinov2_that_transformers_cannot_run_is_refused(tmp_path: Path):
    """It takes every table for a square's."""
    model = made("Dinov2Model", image_size=[16, 40])
    with pytest.raises(RuntimeError):
        model(torch.zeros(1, 3, 16, 40))
    with pytest.raises(CheckpointError, match="has 10 patches, and transformers resizes squares only"):
        imported(saved(model, tmp_path))


def test_names_of_a_live_module_are_those_of_its_file(tmp_path: Path):
    """Version 5 has other names in memory than in files."""
    model = made("Dinov2Model")
    folder = saved(model, tmp_path)
    ours = imported(folder)
    state = model.state_dict()
    assert not any("encoder.layer.0.attention.attention" in name for name in state)
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    again = imported(folder)
    assert all((array == again.arrays[name]).all() for name, array in ours.arrays.items())


@pytest.mark.parametrize("name", ["ViTImageProcessor", "DeiTImageProcessor", "BitImageProcessor"])
@pytest.mark.parametrize(
    "changes", [{}, {"do_normalize": False}, {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4] * 3}]
)
def test_pixels_are_normalised_as_transformers_does_it(name: str, changes: dict[str, Any], tmp_path: Path):
    processor = getattr(transformers, f"{name}Pil")(do_resize=False, do_center_crop=False, **changes)
    processor.save_pretrained(tmp_path)
    rule = PixelRule(**read_pixels(tmp_path).values)
    theirs = processor(images=noise(), return_tensors="np")["pixel_values"][0]
    ours = (noise() / rule.full - np.array(rule.mean)) / np.array(rule.std)
    assert np.abs(theirs - ours.transpose(2, 0, 1)).max() < 1e-6


def test_from_the_command_to_golden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    saved(made("DeiTForImageClassification", layer_norm_eps=1e-6), Path("net"))
    transformers.ViTImageProcessor(image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.25]).save_pretrained("net")
    assert run("import hf net --name mine --calib-images 2 -o out --json out.json") == 0
    told = capsys.readouterr().out
    assert (
        "note: pixels: (p / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.25], folded into the patch embedding (prepro" in told
    )
    assert "parts of the function are assumed" not in told
    package = load_model("out/mine.safetensors")
    provenance = json.loads(Path("out.json").read_text())["provenance"]
    assert (provenance["import"], provenance["source"]) == ("hf", "model.safetensors")
    assert (package.config.class_token, package.config.registers) == ("learned", 1)
    golden = run_network(package, noise((SIDE, SIDE)), "class")["heads.class"]
    assert golden.shape == (1, 10)
    assert golden.std() > 5


def test_dinov2_reaches_golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Features, registers and a LayerScale, to the bits that the machine computes."""
    monkeypatch.chdir(tmp_path)
    model = made("Dinov2WithRegistersModel")
    folder = saved(model, Path("net"))
    assert run("import hf net/model.safetensors --name dino --image-size 24x16 --calib-images 2") == 0
    package, ours = load_model("dino.safetensors"), imported(folder, image_size=(24, 16))
    golden = run_network(package, noise((24, 16)), "features")["heads.features"]
    assert golden.shape == (1 + 4 + 6, 64)
    assert agreement(answer(model, ours), ours) >= USUAL_DB
