"""The format of every tensor that a float model has, too, from the kind of layer that leaves it.

Scores of keys and of experts are left out: nothing chooses a scale for them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hwgen.spec.graph import Network
from hwgen.spec.layers import (
    Attention,
    Codes,
    Experts,
    Gelu,
    Layer,
    Linear,
    Norm,
    Patches,
    Pool,
    Position,
    Restore,
    Select,
)
from hwgen.spec.numerics import NUMERICS


@dataclass(frozen=True, kw_only=True)
class Format:
    """What the codes of a tensor can hold."""

    largest: int  # code
    behind_gelu: bool = False  # whose input has a range of its own, whatever the scale
    chosen: bool = True  # calibration chooses its scale


INT8 = Format(largest=NUMERICS.activation_max)
PASSED = Format(largest=NUMERICS.activation_max, chosen=False)
HIDDEN = Format(largest=NUMERICS.activation_max, behind_gelu=True)
INT16 = Format(largest=2 ** (NUMERICS.residual_bits - 1) - 1)
Formats = dict[str, Format]  # tensor -> format


def tensor_formats(network: Network) -> Formats:
    """Tensors in the order in which the layers leave them."""
    found: Formats = {}
    for layer in network.layers:
        found |= FACES[type(layer)](layer)
    return found


def code_names(network: Network) -> dict[str, str]:
    """What a float model keeps of the hidden units of each token's experts -> the tensor of all experts' codes."""
    return {layer.observed[0]: layer.codes for layer in network.layers if isinstance(layer, Experts)}


def _inputs(layer: Layer) -> Formats:
    """A position table and pixels are no tensors of a float model."""
    return {}


def _int8(layer: Norm | Attention) -> Formats:
    return {layer.writes: INT8}


def _pool(layer: Pool) -> Formats:
    """The values are codes of the rows that it reads, whose scale they keep."""
    return {layer.values: PASSED, layer.writes: INT8}


def _linear(layer: Linear) -> Formats:
    finish = layer.finish
    return {layer.writes: HIDDEN if isinstance(finish, Gelu) else INT8 if isinstance(finish, Codes) else INT16}


def _experts(layer: Experts) -> Formats:
    return {layer.codes: HIDDEN, layer.writes: INT16}


def _stream(layer: Select | Restore) -> Formats:
    return {layer.writes: INT16}


FACES: dict[type[Layer], Callable[[Any], Formats]] = {
    Position: _inputs,
    Patches: _inputs,
    Norm: _int8,
    Linear: _linear,
    Attention: _int8,
    Pool: _pool,
    Experts: _experts,
    Select: _stream,
    Restore: _stream,
}
