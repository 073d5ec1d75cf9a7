"""Named models that the tool knows without a file."""

import difflib
from dataclasses import replace
from typing import Any

from hwgen.spec.model import ModelConfig, TaskConfig

M3VIT_MICRO = ModelConfig(
    name="m3vit-micro",
    image_height=64,
    image_width=64,
    patch=8,
    dim=64,
    depth=4,
    heads=2,
    mlp_hidden=256,
    moe_blocks=(1, 3),
    experts=8,
    top_k=2,
    expert_hidden=128,
    tasks=(
        TaskConfig(name="seg", kind="segmentation", classes=5, cell=8),
        TaskConfig(name="depth", kind="depth", classes=1, cell=8),
    ),
)

M3VIT_TINY = ModelConfig(
    name="m3vit-tiny",
    image_height=128,
    image_width=256,
    patch=16,
    dim=192,
    depth=12,
    heads=3,
    mlp_hidden=768,
    moe_blocks=(1, 3, 5, 7, 9, 11),
    experts=16,
    top_k=2,
    expert_hidden=384,
    tasks=(
        TaskConfig(name="seg", kind="segmentation", classes=19, cell=1),
        TaskConfig(name="depth", kind="depth", classes=1, cell=1),
    ),
)

_VIT_TINY_SHAPE = ModelConfig(
    name="vit-tiny",
    image_height=224,
    image_width=224,
    patch=16,
    dim=192,
    depth=12,
    heads=3,
    mlp_hidden=768,
    tasks=(TaskConfig(name="class", kind="classification", classes=1000),),
)


_SMALL: dict[str, Any] = {"dim": 384, "heads": 6, "mlp_hidden": 1536}
_BASE: dict[str, Any] = {"dim": 768, "heads": 12, "mlp_hidden": 3072}


def _vit(name: str, side: int = 224, **others: Any) -> ModelConfig:
    """A vision transformer of 12 blocks, as wide as ViT-Ti unless ``others`` says so, for images of ``side`` pixels."""
    return replace(_VIT_TINY_SHAPE, name=name, image_height=side, image_width=side, **others)


_PRESETS = (
    M3VIT_MICRO,
    M3VIT_TINY,
    replace(M3VIT_TINY, name="m3vit-tiny-197", image_height=224, image_width=224),  # 197 tokens, as DeiT has
    _VIT_TINY_SHAPE,
    _vit("vit-tiny-384", 384),  # 577 tokens
    _vit("deit-tiny"),
    _vit("deit-small", **_SMALL),
    _vit("deit-base", **_BASE),
    _vit("vit-base", **_BASE),
    _vit("dinov2-small", patch=14, **_SMALL),  # its shape alone: 257 tokens; 1,370 at the 518 pixels of its training
)
MODELS: dict[str, ModelConfig] = {config.name: config for config in _PRESETS}


def model_config(name: str) -> ModelConfig:
    """The preset called ``name``; ValueError names the nearest one."""
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(name, MODELS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown model {name!r}{hint} (known: {', '.join(MODELS)})")
