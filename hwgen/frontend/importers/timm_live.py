"""A live vision transformer of timm's: its arguments and arrays, read from the attributes of the module itself.

timm is not needed, and not imported: classes are told by their names. Every module that the network has must be one
that stands here, in the place where it stands here; anything else is refused by its name.
"""

# pyright: basic
# (a module of somebody else's is typed by nobody)

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hwgen.frontend.importers.checkpoint import Array, Checkpoint, CheckpointError
from hwgen.frontend.importers.form import Said
from hwgen.frontend.importers.timm_described import TimmNetwork

LABEL = "the module"
_NETWORKS = ("VisionTransformer", "VisionTransformerDistilled")
_WHY = {  # class of a network -> why it is none of these, where that can be said in a word
    "SwinTransformer": "its attention looks through shifted windows",
    "SwinTransformerV2": "its attention looks through shifted windows",
    "Levit": "it is a pyramid with convolutions and attention biases",
    "LevitDistilled": "it is a pyramid with convolutions and attention biases",
    "TinyVit": "it is a pyramid with convolutions and windows",
    "Eva": "it has rotary position embeddings or gated MLPs",
    "Beit": "its attention has relative position biases",
    "VisionTransformerRelPos": "its attention has relative position biases",
    "NaFlexVit": "its images have no fixed size",
    "Cait": "its attention mixes heads (talking heads)",
    "MlpMixer": "it has no attention",
}
_NORMS = ("LayerNorm", "LayerNormFp32")
_ACTIVATIONS = {
    "GELU": "gelu", "GELUTanh": "gelu_tanh", "QuickGELU": "quick_gelu", "ReLU": "relu", "SiLU": "silu",
    "Swish": "silu", "SwishMe": "silu", "Hardswish": "hardswish", "HardSwish": "hardswish", "HardSwishMe": "hardswish",
}  # fmt: skip
# Place in the network (a pattern) -> classes that may stand there without a word; all others are named.
_PLACES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"patch_embed", ("PatchEmbed",)),
    (r"patch_embed\.proj", ("Conv2d",)),
    (r"pos_drop|head_drop|blocks\.\d+\.(attn\.(attn_drop|proj_drop)|mlp\.drop[12])", ("Dropout", "Identity")),
    (r"patch_drop", ("PatchDropout", "Identity")),
    (r"norm|fc_norm", (*_NORMS, "Identity")),
    (r"blocks", ("Sequential", "ModuleList")),
    (r"blocks\.\d+", ("Block",)),
    (r"blocks\.\d+\.norm[12]", _NORMS),
    (r"blocks\.\d+\.attn", ("Attention",)),
    (r"blocks\.\d+\.attn\.(qkv|proj)|blocks\.\d+\.mlp\.fc[12]", ("Linear",)),
    (r"blocks\.\d+\.ls[12]", ("LayerScale", "Identity")),
    (r"blocks\.\d+\.drop_path[12]", ("DropPath", "Identity")),
    (r"blocks\.\d+\.mlp", ("Mlp",)),
    (r"blocks\.\d+\.mlp\.act", tuple(_ACTIVATIONS)),
    (r"head|head_dist", ("Linear", "Identity")),
    (r"norm_pre|patch_embed\.norm|blocks\.\d+\.(attn\.(q_norm|k_norm|norm)|mlp\.norm)", ("Identity",)),
)
# Pattern of a place -> the argument of timm's that put something else there.
_ARGUMENTS = {
    r"norm_pre": "pre_norm",
    r"attn_pool.*": "global_pool = map or prr",
    r"patch_embed": "embed_layer",
    r"patch_embed\.norm": "embed_norm_layer",
    r"blocks\.\d+": "block_fn",
    r"blocks\.\d+\.attn": "attn_layer",
    r"blocks\.\d+\.attn\.[qk]_norm": "qk_norm",
    r"blocks\.\d+\.attn\.norm": "scale_attn_norm",
    r"blocks\.\d+\.mlp\.norm": "scale_mlp_norm",
    r"blocks\.\d+\.mlp": "mlp_layer",
    r"blocks\.\d+\.mlp\.act": "act_layer",
    r"(.*\.)?(norm|fc_norm|norm[12])": "norm_layer",
}


def class_name(module: Any) -> str:
    """The name of a module's class, without its package."""
    return type(module).__name__


def _fault(text: str) -> CheckpointError:
    return CheckpointError(f"{LABEL}: {text}")


def _refuse_other_networks(model: Any) -> None:
    """CheckpointError unless this is a plain vision transformer of timm's."""
    name = class_name(model)
    if name in _NETWORKS:
        return
    why = f": {_WHY[name]}" if name in _WHY else ""
    raise _fault(
        f"a {name}, which this import does not know{why}; it reads timm's {' and '.join(_NETWORKS)}. What other"
        " frameworks export as ONNX is read by hwgen import onnx"
    )


def _refuse_other_parts(model: Any) -> None:
    """CheckpointError names the first part, outermost first, that is none of a plain vision transformer."""
    for place, part in model.named_modules():
        if not place:
            continue
        found = class_name(part)
        allowed = next((classes for pattern, classes in _PLACES if re.fullmatch(pattern, place)), ())
        if found in allowed:
            continue
        argument = next((name for pattern, name in _ARGUMENTS.items() if re.fullmatch(pattern, place)), None)
        of = f" ({argument})" if argument else ""
        wanted = " or ".join(name for name in allowed if name != "Identity") or "nothing"
        raise _fault(f"{place} is a {found}{of}, another function: the machine has {wanted} there")


def _same_everywhere(values: Mapping[str, Any], what: str) -> Any:
    """The value that all places have; CheckpointError names two that differ."""
    first_place, first = next(iter(values.items()))
    for place, value in values.items():
        if value != first:
            raise _fault(f"{what}: {first} in {first_place}, {value} in {place}; the machine has one for all")
    return first


def _norms(model: Any) -> Iterator[tuple[str, Any]]:
    return ((place, part) for place, part in model.named_modules() if class_name(part) in _NORMS)


def _epsilon(model: Any) -> float:
    return float(_same_everywhere({place: float(part.eps) for place, part in _norms(model)}, "epsilon of LayerNorm"))


def _activation(model: Any) -> str:
    """timm's name of the activation that all MLPs have."""

    def name(part: Any) -> str:
        tanh = getattr(part, "approximate", "none") == "tanh"
        return "gelu_tanh" if tanh else _ACTIVATIONS[class_name(part)]

    return _same_everywhere({f"blocks.{i}.mlp.act": name(block.mlp.act) for i, block in enumerate(model.blocks)}, "act")


def _heads(model: Any) -> int:
    """Attention heads of every block; CheckpointError where scores are scaled otherwise, or heads have other widths."""
    for index, block in enumerate(model.blocks):
        attention, place = block.attn, f"blocks.{index}.attn"
        width = model.embed_dim // attention.num_heads
        if attention.num_heads * attention.head_dim != model.embed_dim:
            raise _fault(f"{place}.head_dim = {attention.head_dim}: the machine has heads of {width} channels here")
        if abs(attention.scale * width**0.5 - 1.0) > 1e-6:
            raise _fault(f"{place}.scale = {attention.scale:g}: the machine divides scores by sqrt({width})")
        if getattr(attention, "gate", None) is not None:
            raise _fault(f"{place}.gate: the machine has no gate behind attention")
    return int(
        _same_everywhere({f"blocks.{i}.attn": block.attn.num_heads for i, block in enumerate(model.blocks)}, "heads")
    )


def _pooling(model: Any) -> dict[str, Any]:
    """``global_pool``, ``fc_norm`` and ``final_norm``; timm builds one of norm and fc_norm."""
    norm, fc_norm = (class_name(part) != "Identity" for part in (model.norm, model.fc_norm))
    if norm and fc_norm:
        raise _fault("norm and fc_norm are both LayerNorms: the machine has one behind the last block")
    return {"global_pool": model.global_pool, "fc_norm": fc_norm, "final_norm": norm or fc_norm}


def _arguments(model: Any) -> dict[str, Any]:
    """What ``VisionTransformer`` would have to be called with."""
    embed = model.patch_embed
    registers = getattr(model, "reg_token", None)
    return {
        **_pooling(model),
        "embed_dim": model.embed_dim,
        "depth": len(model.blocks),
        "num_heads": _heads(model),
        "num_classes": model.num_classes,
        "patch_size": list(embed.patch_size),
        "img_size": [int(side) for side in embed.img_size] if embed.img_size else None,
        "class_token": model.cls_token is not None,
        "distilled": class_name(model) == "VisionTransformerDistilled",
        "reg_tokens": 0 if registers is None else int(registers.shape[1]),
        "no_embed_class": bool(model.no_embed_class),
        "pos_embed": "none" if model.pos_embed is None else "learn",
        "pool_include_prefix": bool(getattr(model, "pool_include_prefix", False)),
        "act_layer": _activation(model),
        "block_fn": "Block",  # every part has been looked at
        "norm_layer": "LayerNorm",
        "epsilon": _epsilon(model),
    }


def _pixels(model: Any) -> dict[str, tuple[float, ...]]:
    """Mean and deviation that the weights were trained with, where the module says so."""
    config = getattr(model, "pretrained_cfg", None)
    found: dict[str, tuple[float, ...]] = {}
    for name in ("mean", "std"):
        value = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
        if value is not None:
            found[name] = tuple(float(x) for x in value)
    return found


def _arrays(model: Any) -> dict[str, Array]:
    """Every array of the module, float32."""
    arrays: dict[str, Array] = {}
    for name, tensor in model.state_dict().items():
        if tensor.is_meta:
            raise _fault(f"{name} has no values (device meta); load the weights first")
        arrays[name] = (tensor.detach().float() if tensor.is_floating_point() else tensor.detach()).cpu().numpy()
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def live_network(model: Any) -> TimmNetwork:
    """Arguments of a live module; CheckpointError names the part that makes it another function."""
    _refuse_other_networks(model)
    _refuse_other_parts(model)
    return TimmNetwork(
        label=LABEL,
        source=LABEL,
        architecture=str(getattr(getattr(model, "pretrained_cfg", None), "architecture", None) or class_name(model)),
        known=True,
        args={name: Said(value=value, where="its attributes") for name, value in _arguments(model).items()},
        pixels=_pixels(model),
        input_size=None,
        advice="",
        kind="module",
    )


def live_checkpoint(model: Any, *, allow_dead: bool = False) -> Checkpoint:
    """The arrays of a live module."""
    return Checkpoint(LABEL, _arrays(model), allow_dead=allow_dead)
