"""How seeded random numbers spread in the float arrays of every kind of layer."""

import math
from collections.abc import Callable
from typing import Any

from hwgen.spec.graph import Network
from hwgen.spec.layers import (
    Attention,
    Experts,
    Gate,
    Layer,
    Linear,
    Norm,
    Patches,
    Pool,
    Position,
    Residual,
    Restore,
    Select,
)

_GATE_GAIN = 2.0  # standard deviation of gate logits when their input has unit variance
_ATTENTION_GAIN = 1.4  # of query and key, so that scores have a standard deviation of about two
_HIDDEN_GAIN = 2.0  # of what comes from hidden units, which GELU has made small
_BIAS = 0.03  # standard deviation of biases: what all tokens share would send them all to the same experts
_NORM_SPREAD = 0.1  # standard deviation of LayerNorm weights around one
_POSITION = 1.0  # standard deviation of the position embedding and the class token

Spreads = dict[str, tuple[float, float]]  # array -> mean, standard deviation


class Edges:
    """Which tensors attention reads and leaves, and which are position tables."""

    def __init__(self, network: Network) -> None:
        attentions = [layer for layer in network.layers if isinstance(layer, Attention)]
        self.matched = {rows.tensor for layer in attentions for rows in (layer.query, layer.key)}
        self.contexts = {layer.writes for layer in attentions}
        self.tables = {layer.writes for layer in network.layers if isinstance(layer, Position)}
        self.attentions = len(attentions)  # each, and what follows it, adds to the residual stream


def _position(edges: Edges, layer: Position) -> Spreads:
    return dict.fromkeys(layer.floats(), (0.0, _POSITION))


def _nothing(edges: Edges, layer: Layer) -> Spreads:
    """It has no arrays."""
    return {}


def _norm(edges: Edges, layer: Norm) -> Spreads:
    return {f"{layer.name}.weight": (1.0, _NORM_SPREAD), f"{layer.name}.bias": (0.0, _BIAS)}


def _linear(edges: Edges, layer: Linear) -> Spreads:
    weight = (0.0, _deviation(edges, layer))
    return {name: weight if name == f"{layer.name}.weight" else (0.0, _BIAS) for name in layer.floats()}


def _deviation(edges: Edges, layer: Linear) -> float:
    """Of weights, so that an input of unit variance gives the output wanted there."""
    unit = 1.0 / math.sqrt(layer.inputs)
    if isinstance(layer.finish, Gate):
        return _GATE_GAIN * unit
    if layer.writes in edges.matched:
        return _ATTENTION_GAIN * unit
    if not isinstance(layer.finish, Residual) or layer.finish.into.tensor in edges.tables:
        return unit
    gain = 1.0 if layer.source.tensor in edges.contexts else _HIDDEN_GAIN
    return gain * unit / math.sqrt(max(edges.attentions, 1))


def _experts(edges: Edges, layer: Experts) -> Spreads:
    first, second = layer.formats()
    outer = _HIDDEN_GAIN * (1.0 / math.sqrt(layer.hidden)) / math.sqrt(max(edges.attentions, 1))
    return {
        f"{first}.weight": (0.0, 1.0 / math.sqrt(layer.columns)),
        f"{first}.bias": (0.0, _BIAS),
        f"{second}.weight": (0.0, outer),
        f"{second}.bias": (0.0, _BIAS),
    }


FACES: dict[type[Layer], Callable[[Edges, Any], Spreads]] = {
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
