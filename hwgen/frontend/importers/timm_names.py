"""What names of timm's vision transformers stand for: sizes, and arguments that change the function.

timm writes the name of an architecture and only those arguments of ``VisionTransformer`` that a user gave besides.
"""

import re
from dataclasses import dataclass
from typing import Any

# Size word -> channels, blocks, heads. The heads of the three largest do not have 64 channels.
_SIZES: dict[str, tuple[int, int, int]] = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "huge": (1280, 32, 16),
    "giant": (1408, 40, 16),
    "gigantic": (1664, 48, 16),
}
_PLAIN = re.compile(rf"(?:vit|deit)_({'|'.join(_SIZES)})_(?:distilled_)?patch(\d+)_(?:\d+(?:_miil|_in21k)?|dinov2)")
_OTHERS: dict[str, dict[str, int]] = {
    "vit_base_patch32_plus_256": {"embed_dim": 896, "depth": 12, "num_heads": 14, "patch_size": 32},
    "vit_base_patch16_plus_240": {"embed_dim": 896, "depth": 12, "num_heads": 14, "patch_size": 16},
    "vit_small_patch16_36x1_224": {"embed_dim": 384, "depth": 36, "num_heads": 6, "patch_size": 16},
    "test_vit": {"embed_dim": 64, "depth": 6, "num_heads": 2, "patch_size": 16},
}
# Part of a name -> arguments that it stands for; later ones win.
_PARTS: tuple[tuple[str, dict[str, Any]], ...] = (
    (r"_rpn_", {"block_fn": "ResPostBlock", "class_token": False, "global_pool": "avg"}),
    (r"_18x2_", {"block_fn": "ParallelThingsBlock"}),
    (r"_xp_", {"block_fn": "ParallelScalingBlock", "pre_norm": True}),
    (r"_clip_", {"pre_norm": True}),
    (r"_quickgelu_", {"act_layer": "quick_gelu"}),
    (r"_siglip_|_map_", {"class_token": False, "global_pool": "map"}),
    (r"_gap_", {"class_token": False, "global_pool": "avg"}),
    (r"^eva_large_", {"global_pool": "avg"}),
    (r"^beit3_", {"global_pool": "avg", "scale_attn_norm": True, "scale_mlp_norm": True}),
    (r"^aimv2_", {"class_token": False, "global_pool": "avg", "act_layer": "silu", "norm_layer": "rmsnorm"}),
    (r"_giant_.*(dinov2|tipsv2)", {"mlp_layer": "SwiGLUPacked", "act_layer": "silu"}),
    (r"^(deit3|flexivit)_", {"no_embed_class": True}),
    (r"_radio_|_intern300m_", {"final_norm": False}),
)
_REGISTERS = re.compile(r"_reg(\d+)_")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A name of timm's registry, without the tag of its weights."""

    name: str
    known: bool  # whether its function follows from the name
    args: dict[str, Any]  # of VisionTransformer, where the name stands for others than the defaults


def architecture(name: str) -> Architecture:
    """What a name stands for; an unknown one stands for nothing."""
    bare = name.partition(".")[0]
    args: dict[str, Any] = dict(_OTHERS.get(bare, {}))
    plain = _PLAIN.fullmatch(bare)
    if plain:
        names = ("embed_dim", "depth", "num_heads")
        args |= dict(zip(names, _SIZES[plain[1]], strict=True)) | {"patch_size": int(plain[2])}
    changes: dict[str, Any] = {}
    for part, stands_for in _PARTS:
        if re.search(part, bare):
            changes |= stands_for
    registers = _REGISTERS.search(bare)
    if registers:
        changes["reg_tokens"] = int(registers[1])
    return Architecture(name=name, known=bool(args or changes), args=args | changes)
