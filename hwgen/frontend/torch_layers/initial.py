"""Arrays of every kind of layer before any training: Glorot-uniform weights, no bias, small positions."""

# pyright: basic
# (torch is only partly typed)

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from hwgen.spec.layers import Attention, Experts, Layer, Linear, Norm, Patches, Pool, Position, Restore, Select

_POSITION = 0.02  # standard deviation of the position table and the class token


def _position(layer: Position) -> dict[str, Tensor]:
    return {name: _POSITION * torch.randn(shape) for name, shape in layer.floats().items()}


def _nothing(layer: Layer) -> dict[str, Tensor]:
    """It has no arrays."""
    return {}


def _norm(layer: Norm) -> dict[str, Tensor]:
    return {f"{layer.name}.weight": torch.ones(layer.columns), f"{layer.name}.bias": torch.zeros(layer.columns)}


def _linear(layer: Linear) -> dict[str, Tensor]:
    return _glorot(layer, [layer.name])


def _experts(layer: Experts) -> dict[str, Tensor]:
    return _glorot(layer, layer.formats())


def _glorot(layer: Layer, names: Iterable[str]) -> dict[str, Tensor]:
    """Weights [.., out, in] of linear layers, uniform as far as their widths say, and biases of zero."""
    arrays = {name: torch.zeros(shape) for name, shape in layer.floats().items()}
    for weight in (arrays[f"{name}.weight"] for name in names):
        bound = math.sqrt(6.0 / sum(weight.shape[-2:]))
        weight.uniform_(-bound, bound)
    return arrays


FACES: dict[type[Layer], Callable[[Any], dict[str, Tensor]]] = {
    Position: _position,
    Patches: _nothing,
    Linear: _linear,
    Norm: _norm,
    Attention: _nothing,
    Pool: _nothing,
    Experts: _experts,
    Select: _nothing,
    Restore: _nothing,
}
