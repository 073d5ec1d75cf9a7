"""Small random checkpoints in the key names of other projects, and where real weights may lie."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

Arrays = dict[str, NDArray[Any]]
REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "edge_moe" / "m3vit_tiny_float32.npz"
DIM, DEPTH, HIDDEN, PATCH, HEADS = 32, 4, 64, 8, 4
EXPERTS, EXPERT_HIDDEN = 6, 32
TASKS = ("semseg", "depth")


class _Draw:
    """Seeded float32 arrays."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, *shape: int, size: float = 0.3) -> NDArray[np.float32]:
        return (size * self.rng.standard_normal(shape)).astype(np.float32)

    def norm(self, at: str) -> Arrays:
        return {f"{at}.weight": 1 + self(DIM, size=0.1), f"{at}.bias": self(DIM, size=0.1)}

    def linear(self, at: str, out: int, inputs: int) -> Arrays:
        return {f"{at}.weight": self(out, inputs, size=inputs**-0.5), f"{at}.bias": self(out, size=0.1)}

    def block(self, at: str) -> Arrays:
        arrays = self.norm(f"{at}.norm1") | self.linear(f"{at}.attn.qkv", 3 * DIM, DIM)
        return arrays | self.linear(f"{at}.attn.proj", DIM, DIM) | self.norm(f"{at}.norm2")

    def mlp(self, at: str) -> Arrays:
        return self.linear(f"{at}.mlp.fc1", HIDDEN, DIM) | self.linear(f"{at}.mlp.fc2", DIM, HIDDEN)

    def front(self, at: str, tokens: int) -> Arrays:
        return {
            f"{at}cls_token": self(1, 1, DIM),
            f"{at}pos_embed": self(1, tokens, DIM),
            f"{at}patch_embed.proj.weight": self(DIM, 3, PATCH, PATCH, size=0.07),
            f"{at}patch_embed.proj.bias": self(DIM),
        }


def timm_state(seed: int = 0, *, distilled: bool = False, classes: int = 10) -> Arrays:
    """A classifier of 32 x 32 pixels: 16 patches."""
    draw = _Draw(seed)
    arrays = draw.front("", 18 if distilled else 17)
    for block in range(DEPTH):
        arrays |= draw.block(f"blocks.{block}") | draw.mlp(f"blocks.{block}")
    arrays |= draw.norm("norm") | draw.linear("head", classes, DIM)
    if distilled:
        arrays |= {"dist_token": draw(1, 1, DIM)} | draw.linear("head_dist", classes, DIM)
    return arrays


_HF_LAYERS = {  # timm's layers of a block -> those of transformers' ViT, and of its DINOv2
    "norm1": ("layernorm_before", "norm1"), "norm2": ("layernorm_after", "norm2"),
    "attn.proj": ("attention.output.dense",) * 2, "mlp.fc1": ("intermediate.dense", "mlp.fc1"),
    "mlp.fc2": ("output.dense", "mlp.fc2"),
}  # fmt: skip
_HF_FRONT = {
    "cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
    "dist_token": "embeddings.distillation_token", "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
}  # fmt: skip
_HF_HEADS = {"head": ("classifier", "cls_classifier"), "head_dist": ("", "distillation_classifier")}


def hf_state(timm: Arrays, prefix: str = "", *, dino: bool = False) -> Arrays:
    """The network of `timm_state` in the names that transformers saves, its backbone below ``prefix``."""
    arrays: Arrays = {}
    for name, array in timm.items():
        layer, _, part = name.rpartition(".")
        if name in _HF_FRONT:
            arrays[f"{prefix}{_HF_FRONT[name]}"] = array
        elif layer in _HF_FRONT:
            arrays[f"{prefix}{_HF_FRONT[layer]}.{part}"] = array
        elif layer in _HF_HEADS:
            arrays[f"{_HF_HEADS[layer]['head_dist.weight' in timm]}.{part}"] = array
        else:
            _, block, within = layer.split(".", 2)
            at = f"{prefix}encoder.layer.{block}."
            if within == "attn.qkv":
                for kind, rows in zip(("query", "key", "value"), np.split(array, 3), strict=True):
                    arrays[f"{at}attention.attention.{kind}.{part}"] = rows
            else:
                arrays[f"{at}{_HF_LAYERS[within][dino]}.{part}"] = array
    return arrays


def hf_entries(**changes: Any) -> dict[str, Any]:
    """Entries of transformers' config.json for the classifier of `hf_state`."""
    return {
        "model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": DIM, "patch_size": PATCH,
        "num_hidden_layers": DEPTH, "num_attention_heads": 2, "intermediate_size": HIDDEN, "image_size": 32,
        "layer_norm_eps": 1e-6, **changes,
    }  # fmt: skip


def save_hf(timm: Arrays, folder: Path) -> None:
    """A folder as transformers saves the network of `timm_state`."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(hf_entries()))
    arrays = {name: np.ascontiguousarray(array) for name, array in hf_state(timm, "vit.").items()}
    save_file(arrays, folder / "model.safetensors")


def m3vit_state(seed: int = 0, *, decoders: bool = True) -> Arrays:
    """A backbone of 16 x 32 pixels (8 patches), experts in the odd blocks, and two decoders."""
    draw = _Draw(seed)
    arrays = draw.front("backbone.", 9)
    for block in range(DEPTH):
        at = f"backbone.blocks.{block}"
        arrays |= draw.block(at)
        if block % 2 == 0:
            arrays |= draw.mlp(at)
            continue
        for task in range(len(TASKS)):
            arrays[f"{at}.mlp.gate.{task}.w_gate"] = draw(DIM, EXPERTS)
        for name, out, inputs in (("htoh4", EXPERT_HIDDEN, DIM), ("h4toh", DIM, EXPERT_HIDDEN)):
            arrays[f"{at}.mlp.experts.{name}.weight"] = draw(EXPERTS, out, inputs, size=inputs**-0.5)
            arrays[f"{at}.mlp.experts.{name}.bias"] = draw(EXPERTS, out, size=0.1)
    for task in TASKS if decoders else ():
        arrays |= draw.norm(f"decoders.{task}.norm")
        arrays[f"decoders.{task}.conv_0.weight"] = draw(8, DIM, 3, 3)
    return arrays


def edge_state(seed: int = 0, *, matrices: bool = True) -> Arrays:
    """The network of `m3vit_state` in the names of Edge-MoE, with the class token in row 0 of the positions."""
    source = {name.removeprefix("backbone."): array for name, array in m3vit_state(seed, decoders=False).items()}
    arrays: Arrays = {}
    position = source["pos_embed"][0].copy()
    position[0] += source["cls_token"][0, 0]
    arrays["pos_embed"] = position
    arrays["patch_embed_weight"] = source["patch_embed.proj.weight"]
    arrays["patch_embed_bias"] = source["patch_embed.proj.bias"]
    for name, array in source.items():
        if not name.startswith("blocks."):
            continue
        _, block, *rest = name.split(".")
        if rest[-1] == "w_gate":
            arrays[f"l{block}_w_gate_T_task{rest[2]}"] = array.T.copy()
        elif "experts" in rest:
            if matrices or rest[-1] == "bias":
                arrays[f"l{block}_{rest[-2]}_{rest[-1]}"] = array
        else:
            layer = {"qkv": "qkv", "proj": "attn_proj"}.get(rest[-2], rest[-2])
            arrays[f"l{block}_{layer}_{rest[-1]}"] = array
    return arrays


def as_torch(arrays: Arrays) -> dict[str, torch.Tensor]:
    """The same as a state_dict."""
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def save_pth(arrays: Arrays, path: str) -> None:
    """A state_dict as torch writes it."""
    torch.save(as_torch(arrays), path)


def image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise, pixel code 0 included."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
