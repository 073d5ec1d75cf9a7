"""Entries of transformers' two files of JSON: what is taken, and what is refused by its name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.frontend.importers.checkpoint import CheckpointError
from tests.frontend.importers.hugging import DINO, REGISTERS, VIT, imported, scaled, without_head
from tests.frontend.importers.made import DIM, hf_state, timm_state


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("gelu", "gelu"),
        ("gelu_python", "gelu"),
        ("gelu_new", "gelu_tanh"),
        ("gelu_fast", "gelu_tanh"),
        ("gelu_pytorch_tanh", "gelu_tanh"),
        ("quick_gelu", "quick_gelu"),
        ("relu", "relu"),
        ("swish", "silu"),
        ("hardswish", "hardswish"),
        (..., "gelu"),
    ],
)
def test_names_of_activations(name: Any, ours: str) -> None:
    found = imported(hf_state(timm_state(), "vit."), {**VIT, "hidden_act": name})
    assert found.config.activation == ours
    assert found.function["activation"].endswith("(config.json)")


def test_epsilons_that_a_file_does_not_give() -> None:
    found = imported(hf_state(timm_state(), "vit."), {**VIT, "layer_norm_eps": ...})
    assert found.config.epsilon == 1e-12
    _, there = scaled(without_head(timm_state()))
    assert imported(there, {**DINO, "layer_norm_eps": ...}).config.epsilon == 1e-6


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
    ({"is_causal": True}, "is_causal = true: this import does not know"),
    (
        {"use_swiglu_ffn": True},
        "use_swiglu_ffn = true, another function: the machine computes MLPs of two linear layer",
    ),
    ({"apply_layernorm": False}, "apply_layernorm = false, another function: the machine computes with a LayerNorm"),
    ({"num_channels": 1}, "num_channels = 1, another function"),
    ({"is_decoder": True}, "is_decoder = true, another function"),
    ({"pruned_heads": {"0": [1]}}, "pruned_heads = "),
    ({"layer_norm_eps": "small"}, 'layer_norm_eps = "small", expected a number'),
    ({"layer_norm_eps": True}, "layer_norm_eps = true, expected a number"),
    ({"layer_norm_eps": 0.5}, "epsilon"),
    ({"layer_norm_eps": 10**400}, "expected a number"),
    ({"layer_norm_eps": float("nan")}, "layer_norm_eps = NaN, expected a number"),
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
        imported(arrays, {**VIT, **changes})
    assert says in str(found.value)
    assert str(found.value).startswith("config.json: ") or says == "epsilon"
    assert imported(arrays, {**VIT, "hidden_dropout_prob": 0.1, "torch_dtype": "float16", "unknown": None})


def test_ratios_and_registers_are_compared() -> None:
    _, there = scaled(without_head(timm_state()))
    with pytest.raises(CheckpointError, match="mlp_ratio = 4, but the arrays have 64 hidden units of 32 channels"):
        imported(there, {**DINO, "mlp_ratio": 4})
    with pytest.raises(CheckpointError, match="expected a number"):
        imported(there, {**DINO, "mlp_ratio": float("inf")})
    for count, says in ((4, "num_register_tokens = 4, but the arrays have 0"), (False, "num_register_tokens = false")):
        with pytest.raises(CheckpointError, match=says):
            imported(there, {**REGISTERS, "num_register_tokens": count})


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
    found = imported(hf_state(timm_state(), "vit."), VIT)
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
        ({"image_std": [1e300, 1, 1]}, "image_std = [1e+300, 1, 1], expected three numbers"),
        ({"image_std": "imagenet"}, 'image_std = "imagenet", expected three numbers'),
        ({"image_mean": [0.4] * 3}, "--mean 0.5: the file says 0.4,0.4,0.4; leave the option out"),
    ],
)
def test_other_pixels_are_refused(entries: dict[str, Any], says: str) -> None:
    Path("preprocessor_config.json").write_text(json.dumps(entries))
    with pytest.raises(CheckpointError) as found:
        imported(hf_state(timm_state(), "vit."), VIT, mean=(0.5,))
    assert str(found.value) == f"preprocessor_config.json: {says}"


def test_a_head_on_the_mean_is_refused_with_the_way_out() -> None:
    _, there = scaled(without_head(timm_state()))
    classifier = {"classifier.weight": np.ones((10, 2 * DIM)), "classifier.bias": np.ones(10)}
    for entries, says in (
        (DINO, "Dinov2ForImageClassification reads the class token beside the mean"),
        ({**DINO, "architectures": ...}, r"model\.dinov2\.save_pretrained\(FOLDER\)"),
        ({**REGISTERS, "architectures": ["Dinov2WithRegistersForImageClassification"]}, "import the backbone"),
    ):
        with pytest.raises(CheckpointError, match=says):
            imported(there | classifier, entries)
