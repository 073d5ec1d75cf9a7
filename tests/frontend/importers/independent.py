"""The networks of timm and M3ViT restated in torch, straight from a state_dict: what an import must agree with."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

State = dict[str, Tensor]
EPSILON = 1e-6


def _norm(state: State, at: str, x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], state[f"{at}.weight"], state[f"{at}.bias"], EPSILON)


def _linear(state: State, at: str, x: Tensor) -> Tensor:
    return functional.linear(x, state[f"{at}.weight"], state[f"{at}.bias"])


def _attention(state: State, at: str, x: Tensor, heads: int) -> Tensor:
    tokens, dim = x.shape
    q, k, v = _linear(state, f"{at}.qkv", x).reshape(tokens, 3, heads, dim // heads).permute(1, 2, 0, 3)
    mixed = functional.scaled_dot_product_attention(q, k, v)
    return _linear(state, f"{at}.proj", mixed.transpose(0, 1).reshape(tokens, dim))


def _tokens(state: State, image: NDArray[np.uint8], mean: Any, std: Any, full: float = 255.0) -> Tensor:
    """Class token and patches of one image, in front of the position embedding."""
    pixels = torch.from_numpy(image.astype(np.float64) / full).permute(2, 0, 1)
    shape = (-1, 1, 1)
    normal = (pixels - torch.tensor(mean, dtype=torch.float64).reshape(shape)) / torch.tensor(
        std, dtype=torch.float64
    ).reshape(shape)
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    grid = functional.conv2d(normal[None], weight, bias, stride=weight.shape[-1])
    return torch.cat([state["cls_token"][0], grid[0].flatten(1).T])


def _wide(state: State) -> State:
    return {name: tensor.double() for name, tensor in state.items()}


def _blocks(state: State) -> int:
    return len({name.split(".")[1] for name in state if name.startswith("blocks.")})


def _scale(state: State, at: str, index: int) -> Tensor:
    """LayerScale, or one."""
    return state.get(f"{at}.ls{index}.gamma", state.get(f"{at}.gamma_{index}", torch.ones(1, dtype=torch.float64)))


@dataclass(frozen=True, kw_only=True)
class Form:
    """What the names of arrays do not say; the default is timm's plain ViT."""

    activation: Callable[[Tensor], Tensor] = functional.gelu
    post_norm: bool = False  # x + norm1(attention(x)), then x + norm2(mlp(x))
    mean_pooling: bool = False  # of the patches behind the final LayerNorm


def classify(
    state: State, image: NDArray[np.uint8], heads: int, mean: Any, std: Any, form: Form | None = None
) -> NDArray[np.float64]:
    """Logits of a timm classifier."""
    state, form = _wide(state), form or Form()

    def branch(x: Tensor, norm: str, layer: Callable[[Tensor], Tensor]) -> Tensor:
        return _norm(state, norm, layer(x)) if form.post_norm else layer(_norm(state, norm, x))

    def mlp(at: str, x: Tensor) -> Tensor:
        return _linear(state, f"{at}.fc2", form.activation(_linear(state, f"{at}.fc1", x)))

    x = _tokens(state, image, mean, std) + state["pos_embed"][0]
    for block in range(_blocks(state)):
        at = f"blocks.{block}"
        attention = partial(_attention, state, f"{at}.attn", heads=heads)
        x = x + _scale(state, at, 1) * branch(x, f"{at}.norm1", attention)
        x = x + _scale(state, at, 2) * branch(x, f"{at}.norm2", partial(mlp, f"{at}.mlp"))
    rows = _norm(state, "norm", x)
    return _linear(state, "head", rows[1:].mean(0, keepdim=True) if form.mean_pooling else rows[:1]).numpy()


def _experts(state: State, at: str, x: Tensor, gate: int, top_k: int, over_chosen: bool) -> Tensor:
    """Mixture of experts, token by token."""
    logits = x @ state[f"{at}.gate.{gate}.w_gate"]
    out = torch.zeros_like(x)
    for token in range(len(x)):
        best, chosen = logits[token].topk(top_k)
        scores = best.softmax(0) if over_chosen else logits[token].softmax(0)[chosen]
        for score, e in zip(scores, chosen, strict=True):
            weights = [state[f"{at}.experts.{name}"][e] for name in ("htoh4.weight", "htoh4.bias")]
            hidden = functional.gelu(functional.linear(x[token], *weights))
            weights = [state[f"{at}.experts.{name}"][e] for name in ("h4toh.weight", "h4toh.bias")]
            out[token] += score * functional.linear(hidden, *weights)
    return out


def backbone(
    state: State,
    image: NDArray[np.uint8],
    heads: int,
    gate: int,
    top_k: int,
    *,
    over_chosen: bool = False,
    **pixels: Any,
) -> Tensor:
    """Residual after the last block of an M3ViT, names without ``backbone.``."""
    state = _wide(state)
    x = _tokens(state, image, **pixels) + state["pos_embed"][0]
    for block in range(_blocks(state)):
        at = f"blocks.{block}"
        x = x + _attention(state, f"{at}.attn", _norm(state, f"{at}.norm1", x), heads)
        rows = _norm(state, f"{at}.norm2", x)
        if f"{at}.mlp.fc1.weight" in state:
            x = x + _linear(state, f"{at}.mlp.fc2", functional.gelu(_linear(state, f"{at}.mlp.fc1", rows)))
        else:
            x = x + _experts(state, f"{at}.mlp", rows, gate, top_k, over_chosen)
    return x
