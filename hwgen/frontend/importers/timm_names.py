"""What names of timm's vision transformers stand for: sizes, and arguments that change the function.

timm writes the name of an architecture and only those arguments of ``VisionTransformer`` that a user gave besides. The
tables have every ``VisionTransformer`` and ``VisionTransformerDistilled`` of timm 1.0; a test compares them with timm.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

# Arguments that differ from timm's defaults, and the networks that have them: channels, blocks, heads, patch, names.
_FUNCTIONS: tuple[tuple[dict[str, Any], tuple[tuple[int, int, int, int, str], ...]], ...] = (
    (
        {},
        (
            (64, 6, 2, 16, "test_vit"),
            (192, 12, 3, 16, "deit_tiny_patch16_224 vit_tiny_patch16_224 vit_tiny_patch16_384"),
            (384, 12, 6, 8, "vit_small_patch8_224"),
            (384, 12, 6, 14, "vit_small_patch14_dinov2"),
            (384, 12, 6, 16, "deit_small_patch16_224 vit_small_patch16_224 vit_small_patch16_384"),
            (384, 12, 6, 32, "vit_small_patch32_224 vit_small_patch32_384"),
            (384, 36, 6, 16, "vit_small_patch16_36x1_224"),
            (768, 12, 12, 8, "vit_base_patch8_224"),
            (768, 12, 12, 14, "vit_base_patch14_dinov2"),
            (
                768,
                12,
                12,
                16,
                "deit_base_patch16_224 deit_base_patch16_384 vit_base_patch16_224 vit_base_patch16_224_miil "
                "vit_base_patch16_384",
            ),
            (768, 12, 12, 32, "vit_base_patch32_224 vit_base_patch32_384"),
            (896, 12, 14, 16, "vit_base_patch16_plus_240"),
            (896, 12, 14, 32, "vit_base_patch32_plus_256"),
            (1024, 24, 16, 14, "vit_large_patch14_224 vit_large_patch14_dinov2"),
            (1024, 24, 16, 16, "vit_large_patch16_224 vit_large_patch16_384"),
            (1024, 24, 16, 32, "vit_large_patch32_224 vit_large_patch32_384"),
            (1280, 32, 16, 14, "vit_huge_patch14_224"),
            (1408, 40, 16, 14, "vit_giant_patch14_224"),
            (1664, 48, 16, 14, "vit_gigantic_patch14_224"),
        ),
    ),
    (
        {"distilled": True},
        (
            (192, 12, 3, 16, "deit_tiny_distilled_patch16_224"),
            (384, 12, 6, 16, "deit_small_distilled_patch16_224"),
            (768, 12, 12, 16, "deit_base_distilled_patch16_224 deit_base_distilled_patch16_384"),
        ),
    ),
    (
        {"global_pool": "avg"},
        ((1024, 24, 16, 14, "eva_large_patch14_196 eva_large_patch14_336"),),
    ),
    (
        {"no_embed_class": True},
        (
            (384, 12, 6, 16, "deit3_small_patch16_224 deit3_small_patch16_384 flexivit_small"),
            (512, 12, 8, 16, "deit3_medium_patch16_224"),
            (768, 12, 12, 16, "deit3_base_patch16_224 deit3_base_patch16_384 flexivit_base"),
            (1024, 24, 16, 16, "deit3_large_patch16_224 deit3_large_patch16_384 flexivit_large"),
            (1280, 32, 16, 14, "deit3_huge_patch14_224"),
        ),
    ),
    (
        {"reg_tokens": 1, "no_embed_class": True},
        (
            (768, 12, 12, 14, "vit_base_patch14_reg1_tipsv2"),
            (1024, 24, 16, 14, "vit_large_patch14_reg1_tipsv2"),
            (1152, 27, 16, 14, "vit_so400m_patch14_reg1_tipsv2"),
        ),
    ),
    (
        {"reg_tokens": 4, "no_embed_class": True},
        (
            (384, 12, 6, 14, "vit_small_patch14_reg4_dinov2"),
            (768, 12, 12, 14, "vit_base_patch14_reg4_dinov2"),
            (1024, 24, 16, 14, "vit_large_patch14_reg4_dinov2"),
        ),
    ),
    (
        {"global_pool": "avg", "class_token": False, "reg_tokens": 1},
        (
            (64, 8, 2, 16, "test_vit2"),
            (
                832,
                21,
                13,
                16,
                "vit_so150m2_patch16_reg1_gap_256 vit_so150m2_patch16_reg1_gap_384 vit_so150m2_patch16_reg1_gap_448",
            ),
        ),
    ),
    (
        {"global_pool": "avg", "class_token": False, "fc_norm": False},
        (
            (512, 12, 8, 16, "vit_medium_patch16_gap_240 vit_medium_patch16_gap_256 vit_medium_patch16_gap_384"),
            (640, 12, 10, 16, "vit_betwixt_patch16_gap_256"),
            (
                768,
                12,
                12,
                16,
                "vit_base_patch16_siglip_gap_224 vit_base_patch16_siglip_gap_256 vit_base_patch16_siglip_gap_384 "
                "vit_base_patch16_siglip_gap_512",
            ),
            (768, 12, 16, 16, "vit_base_patch16_gap_224"),
            (1024, 24, 16, 16, "vit_large_patch16_siglip_gap_256 vit_large_patch16_siglip_gap_384"),
            (
                1152,
                27,
                16,
                14,
                "vit_so400m_patch14_siglip_gap_224 vit_so400m_patch14_siglip_gap_378 "
                "vit_so400m_patch14_siglip_gap_384 vit_so400m_patch14_siglip_gap_448 "
                "vit_so400m_patch14_siglip_gap_896",
            ),
            (1280, 32, 16, 14, "vit_huge_patch14_gap_224"),
            (1280, 32, 16, 16, "vit_huge_patch16_gap_448"),
            (1408, 40, 16, 16, "vit_giant_patch16_gap_224"),
        ),
    ),
    (
        {"global_pool": "avg", "class_token": False, "reg_tokens": 4, "fc_norm": False},
        ((896, 18, 14, 16, "vit_so150m_patch16_reg4_gap_256 vit_so150m_patch16_reg4_gap_384"),),
    ),
    (
        {"global_pool": "avg", "class_token": False, "reg_tokens": 1, "no_embed_class": True},
        (
            (256, 14, 4, 16, "vit_wee_patch16_reg1_gap_256"),
            (320, 14, 5, 16, "vit_little_patch16_reg1_gap_256"),
            (512, 12, 8, 16, "vit_medium_patch16_reg1_gap_256"),
            (640, 12, 10, 16, "vit_betwixt_patch16_reg1_gap_256"),
        ),
    ),
    (
        {"global_pool": "avg", "class_token": False, "reg_tokens": 4, "no_embed_class": True},
        (
            (320, 14, 5, 16, "vit_little_patch16_reg4_gap_256"),
            (512, 12, 8, 16, "vit_medium_patch16_reg4_gap_256"),
            (512, 20, 8, 16, "vit_mediumd_patch16_reg4_gap_256 vit_mediumd_patch16_reg4_gap_384"),
            (640, 12, 10, 16, "vit_betwixt_patch16_reg4_gap_256 vit_betwixt_patch16_reg4_gap_384"),
            (768, 12, 12, 16, "vit_base_patch16_reg4_gap_256"),
        ),
    ),
    (
        {"global_pool": "avg", "class_token": False, "act_layer": "gelu_tanh", "fc_norm": False},
        (
            (768, 12, 12, 32, "vit_base_patch32_siglip_gap_256"),
            (1024, 24, 16, 16, "vit_large_patch16_siglip_gap_512"),
            (
                1152,
                27,
                16,
                16,
                "vit_so400m_patch16_siglip_gap_256 vit_so400m_patch16_siglip_gap_384 vit_so400m_patch16_siglip_gap_512",
            ),
            (1536, 40, 16, 16, "vit_giantopt_patch16_siglip_gap_256 vit_giantopt_patch16_siglip_gap_384"),
        ),
    ),
)
# Arguments with which the machine has none of it, whatever else is said, and the networks that have them.
_REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    (
        {"attn_layer": "DiffAttention"},
        "vit_dlittle_patch16_reg1_gap_256 vit_dwee_patch16_reg1_gap_256",
    ),
    (
        {"block_fn": "DiffParallelScalingBlock"},
        "vit_dpwee_patch16_reg1_gap_256",
    ),
    (
        {"block_fn": "ParallelScalingBlock"},
        "vit_pwee_patch16_reg1_gap_256",
    ),
    (
        {"block_fn": "ParallelThingsBlock"},
        "vit_base_patch16_18x2_224 vit_small_patch16_18x2_224",
    ),
    (
        {"block_fn": "ResPostBlock"},
        "vit_base_patch16_rpn_224",
    ),
    (
        {"embed_norm_layer": "RmsNorm"},
        "aimv2_1b_patch14_224 aimv2_1b_patch14_336 aimv2_1b_patch14_448 aimv2_3b_patch14_224 aimv2_3b_patch14_336 "
        "aimv2_3b_patch14_448 aimv2_huge_patch14_224 aimv2_huge_patch14_336 aimv2_huge_patch14_448 "
        "aimv2_large_patch14_224 aimv2_large_patch14_336 aimv2_large_patch14_448",
    ),
    (
        {"final_norm": False},
        "vit_base_patch16_radio_v3 vit_giant_patch16_radio_v3 vit_huge_patch16_radio_v3 vit_huge_patch16_radio_v4 "
        "vit_intern300m_patch14_448 vit_large_patch16_radio_v3 vit_so400m_patch16_radio_v4",
    ),
    (
        {"global_pool": "map"},
        "test_vit3 vit_base_patch16_siglip_224 vit_base_patch16_siglip_256 vit_base_patch16_siglip_384 "
        "vit_base_patch16_siglip_512 vit_base_patch32_siglip_256 vit_giantopt_patch16_siglip_256 "
        "vit_giantopt_patch16_siglip_384 vit_large_patch16_siglip_256 vit_large_patch16_siglip_384 "
        "vit_large_patch16_siglip_512 vit_so150m_patch16_reg4_map_256 vit_so400m_patch14_siglip_224 "
        "vit_so400m_patch14_siglip_378 vit_so400m_patch14_siglip_384 vit_so400m_patch16_siglip_256 "
        "vit_so400m_patch16_siglip_384 vit_so400m_patch16_siglip_512",
    ),
    (
        {"mlp_layer": "GluMlp"},
        "vit_giant_patch14_dinov2 vit_giant_patch14_reg1_tipsv2 vit_giant_patch14_reg4_dinov2",
    ),
    (
        {"norm_layer": "rmsnorm"},
        "test_vit4",
    ),
    (
        {"pre_norm": True},
        "vit_base_patch16_clip_224 vit_base_patch16_clip_384 vit_base_patch16_clip_quickgelu_224 "
        "vit_base_patch16_plus_clip_240 vit_base_patch32_clip_224 vit_base_patch32_clip_256 "
        "vit_base_patch32_clip_384 vit_base_patch32_clip_448 vit_base_patch32_clip_quickgelu_224 "
        "vit_betwixt_patch32_clip_224 vit_giant_patch14_clip_224 vit_gigantic_patch14_clip_224 "
        "vit_gigantic_patch14_clip_378 vit_gigantic_patch14_clip_quickgelu_224 vit_huge_patch14_clip_224 "
        "vit_huge_patch14_clip_336 vit_huge_patch14_clip_378 vit_huge_patch14_clip_quickgelu_224 "
        "vit_huge_patch14_clip_quickgelu_378 vit_large_patch14_clip_224 vit_large_patch14_clip_336 "
        "vit_large_patch14_clip_quickgelu_224 vit_large_patch14_clip_quickgelu_336 vit_medium_patch16_clip_224 "
        "vit_medium_patch32_clip_224 vit_xsmall_patch16_clip_224 vit_base_patch16_xp_224 vit_huge_patch14_xp_224 "
        "vit_large_patch14_xp_224",
    ),
    (
        {"scale_attn_norm": True},
        "beit3_base_patch16_224 beit3_giant_patch14_224 beit3_giant_patch14_336 beit3_large_patch16_224",
    ),
)
_ROPE = "rope"  # part of the names of networks whose position embedding no array shows


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A name of timm's registry, without the tag of its weights."""

    name: str
    known: bool  # whether its function follows from the name
    args: dict[str, Any]  # of VisionTransformer, where the name stands for others than the defaults
    fixed: dict[str, Any]  # those that the machine does not compute, and that nothing else can change


@cache
def _known() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Name -> its arguments, and those that are refused."""
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for function, networks in _FUNCTIONS:
        for dim, depth, heads, patch, names in networks:
            sizes = {"embed_dim": dim, "depth": depth, "num_heads": heads, "patch_size": patch}
            found |= {name: (sizes | function, {}) for name in names.split()}
    for refused, names in _REFUSED:
        found |= {name: ({}, refused) for name in names.split()}
    return found


def architecture(name: str) -> Architecture:
    """What a name stands for; an unknown one stands for nothing."""
    bare = name.partition(".")[0]
    args, fixed = _known().get(bare, ({}, {_ROPE: True} if _ROPE in bare else {}))
    return Architecture(name=name, known=bare in _known(), args=args, fixed=fixed)
