"""transformers' vision transformers: their classes, what a missing entry means, and their names of functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwgen.frontend.importers.hf_names import CLASSIFIER, TEACHER
from hwgen.frontend.importers.resize import Resizing
from hwgen.spec.activations import Activation

_PLAIN = Resizing(antialias=False, by="transformers")
_ANTIALIASED = Resizing(antialias=True, by="transformers")
_SHARED = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "hidden_act": "gelu", "image_size": 224,
    "num_channels": 3, "qkv_bias": True,
}  # fmt: skip
_VIT = {**_SHARED, "intermediate_size": 3072, "layer_norm_eps": 1e-12, "patch_size": 16}
_DINO = {**_SHARED, "mlp_ratio": 4, "layer_norm_eps": 1e-6, "apply_layernorm": True, "use_swiglu_ffn": False}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One ``model_type``."""

    prefix: str  # what a network with a head calls its backbone
    classes: Mapping[str, tuple[str, ...]]  # class -> its heads
    defaults: Mapping[str, Any]  # entry -> its value where the file has none
    mean_beside_token: tuple[str, ...] = ()  # classes whose head reads the class token and the mean of the patches
    scaled: bool = False  # whether blocks have LayerScales
    resizing: Resizing = _PLAIN
    resizes_always: bool = False  # takes the table for a square's, whatever image_size is


KINDS: Mapping[str, Kind] = {
    "vit": Kind(prefix="vit", classes={"ViTModel": (), "ViTForImageClassification": (CLASSIFIER,)}, defaults=_VIT),
    "deit": Kind(
        prefix="deit",
        classes={
            "DeiTModel": (),
            "DeiTForImageClassification": (CLASSIFIER,),
            "DeiTForImageClassificationWithTeacher": ("cls_classifier", TEACHER),
        },
        defaults=_VIT,
    ),
    "dinov2": Kind(
        prefix="dinov2",
        classes={"Dinov2Model": ()},
        defaults={**_DINO, "patch_size": 14},
        mean_beside_token=("Dinov2ForImageClassification",),
        scaled=True,
        resizes_always=True,
    ),
    "dinov2_with_registers": Kind(
        prefix="dinov2_with_registers",
        classes={"Dinov2WithRegistersModel": ()},
        defaults={**_DINO, "patch_size": 16, "num_register_tokens": 4},
        mean_beside_token=("Dinov2WithRegistersForImageClassification",),
        scaled=True,
        resizing=_ANTIALIASED,
        resizes_always=True,
    ),
}
# transformers' names of activations -> ours.
ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu", "gelu_python": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_python_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh", "gelu_accurate": "gelu_tanh", "quick_gelu": "quick_gelu",
    "relu": "relu", "silu": "silu", "swish": "silu", "hardswish": "hardswish",
}  # fmt: skip
# Entry -> values with which transformers computes what the machine computes, the one to use first; and what that is.
FUNCTION: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "num_channels": ((3,), "on pictures of three colours"),
    "use_swiglu_ffn": ((False,), "MLPs of two linear layers with an activation between them"),
    "apply_layernorm": ((True,), "with a LayerNorm behind the last block"),
    "pruned_heads": (({}, None), "all heads of every block"),
    "is_decoder": ((False, None), "attention of every token to every other"),
    "is_encoder_decoder": ((False, None), "attention of every token to every other"),
    "add_cross_attention": ((False, None), "attention of every token to every other"),
    "quantization_config": ((None,), "what float weights say"),
    "interpolate_antialias": ((True, None), "the position embedding that transformers resizes with antialiasing"),
    "interpolate_offset": ((0.0, None), "the position embedding that transformers resizes without offset"),
}
# Entries that are read elsewhere.
READ = (
    "model_type", "architectures", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "mlp_ratio", "hidden_act", "layer_norm_eps", "image_size", "patch_size", "qkv_bias", "num_register_tokens",
    "id2label", "num_labels",
)  # fmt: skip
# Entries of training, of the pooler, of a backbone's outputs, of labels, of files and of how numbers are held.
WITHOUT_EFFECT = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "drop_path_rate", "initializer_range", "layerscale_value",
    "use_mask_token", "encoder_stride", "pooler_output_size", "pooler_act", "out_features", "out_indices",
    "stage_names", "reshape_hidden_states", "label2id", "problem_type", "finetuning_task", "_num_labels",
    "transformers_version", "_name_or_path", "_commit_hash", "_attn_implementation_autoset", "attn_implementation",
    "_attn_implementation", "torch_dtype", "dtype", "torchscript", "return_dict", "output_hidden_states",
    "output_attentions", "chunk_size_feed_forward", "gradient_checkpointing", "tie_word_embeddings", "use_bfloat16",
    "tf_legacy_loss",
)  # fmt: skip
