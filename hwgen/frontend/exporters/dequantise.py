"""A package's integers as float weights: every code times its step.

The step of a weight is read from its layer's multiplier, not from the float weights: code * step is what the machine
multiplies by. The float model of these arrays computes what golden computes, but for the rounding of activations and
the errors of the function tables. Biases of keys, which softmax does not see, are zero; the class token lies in row 0
of the position table. What a bias takes out of its inputs' zero point is no part of the float model's.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from golden.reference.layers.patches import PIXEL_SCALE
from hwgen.frontend.activation_input import input_scale
from hwgen.frontend.equalisation import EQUALISATION, Factors, without_equalisation
from hwgen.frontend.scaling import FloatArray
from hwgen.spec.graph import Network
from hwgen.spec.layers import (
    Attention,
    Experts,
    Gelu,
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
from hwgen.spec.numerics import NUMERICS
from hwgen.spec.package import PackageError, QuantisedModel

_NORM_ONE = 2.0**NUMERICS.norm_fraction_bits


def _scales_of_layer(package: QuantisedModel, name: str) -> tuple[float, float]:
    """Real value of one code of the inputs and of the outputs of a linear layer."""
    scales, layer = package.scales, package.config.network.linears[name].layer
    if isinstance(layer, Experts):
        first = next(iter(layer.formats()))
        hidden = scales[layer.codes]
        return (scales[layer.source.tensor], input_scale(scales)) if name == first else (hidden, scales["residual"])
    assert isinstance(layer, Linear)
    pixels = package.config.network.image.writes
    inputs = PIXEL_SCALE if layer.source.tensor == pixels else scales[layer.source.tensor]
    if isinstance(layer.finish, Residual):
        return inputs, scales["residual"]
    return inputs, input_scale(scales) if isinstance(layer.finish, Gelu) else scales[layer.writes]


def weight_steps(package: QuantisedModel, layer: str) -> FloatArray:
    """Real value of one weight code of every output channel of a linear layer, float64 [.., out]."""
    inputs, outputs = _scales_of_layer(package, layer)
    mult, shift = (package.arrays[f"{layer}.{part}"].astype(np.int64) for part in ("mult", "shift"))
    return np.ldexp(mult.astype(np.float64), -shift) * outputs / inputs


# --- one function a kind of layer ---------------------------------------------------------------------------------


def _position(package: QuantisedModel, layer: Position) -> dict[str, FloatArray]:
    return {layer.name: package.arrays[layer.name] * package.scales["residual"]}


def _nothing(package: QuantisedModel, layer: Layer) -> dict[str, FloatArray]:
    """It has no arrays."""
    return {}


def _linear(package: QuantisedModel, layer: Linear) -> dict[str, FloatArray]:
    return _stack(package, layer.name)


def _experts(package: QuantisedModel, layer: Experts) -> dict[str, FloatArray]:
    first, second = layer.formats()
    return _stack(package, first) | _stack(package, second)


def _stack(package: QuantisedModel, name: str) -> dict[str, FloatArray]:
    """Weight and bias of a linear layer, or of one per expert."""
    steps, inputs = weight_steps(package, name), _scales_of_layer(package, name)[0]
    weight, bias = package.arrays[f"{name}.weight"], package.arrays[f"{name}.bias"]
    own = bias.astype(np.int64) + _input_zero(package, name) * weight.sum(axis=-1, dtype=np.int64)
    return {f"{name}.weight": weight * steps[..., None], f"{name}.bias": own * steps * inputs}


def _input_zero(package: QuantisedModel, name: str) -> int:
    """Zero point of the inputs of a linear layer, which its bias takes out."""
    layer = package.config.network.linears[name].layer
    if isinstance(layer, Experts):
        return 0 if name == next(iter(layer.formats())) else package.zeros[layer.codes]
    assert isinstance(layer, Linear)
    return package.zeros.get(layer.source.tensor, 0)


def _norm(package: QuantisedModel, layer: Norm) -> dict[str, FloatArray]:
    name = layer.name
    gain, offset, shift = (package.arrays[f"{name}.{part}"].astype(np.float64) for part in ("gain", "offset", "shift"))
    unit = package.scales[layer.writes] * np.exp2(-shift)
    one = 1.0 / package.scales["residual"] if layer.plain else _NORM_ONE
    return {f"{name}.weight": gain * unit * one, f"{name}.bias": offset * unit}


FACES: dict[type[Layer], Callable[[QuantisedModel, Any], dict[str, FloatArray]]] = {
    Position: _position,
    Patches: _nothing,
    Norm: _norm,
    Linear: _linear,
    Attention: _nothing,
    Pool: _nothing,
    Experts: _experts,
    Select: _nothing,
    Restore: _nothing,
}


def dequantise(package: QuantisedModel) -> dict[str, FloatArray]:
    """Float32 arrays of a package, by the names of ``Network.floats``; still equalised."""
    network = package.config.network
    arrays: dict[str, FloatArray] = {}
    for layer in network.layers:
        arrays |= FACES[type(layer)](package, layer)
    return {
        name: np.asarray(arrays.get(name, np.zeros(shape)), dtype=np.float32).reshape(shape)
        for name, shape in network.floats.items()
    }


def float_weights(package: QuantisedModel) -> dict[str, FloatArray]:
    """Float32 arrays of a package with the equalisation undone where its provenance knows the factors.

    PackageError when the manifest lacks a scale, or its factors are not one finite number a channel, none of them zero.
    """
    name, factors = package.config.name, package.provenance.get(EQUALISATION, {})
    if not _are_factors(factors, package.config.network):
        raise PackageError(f"{name}: the equalisation in the package's provenance is damaged; import the network again")
    try:
        arrays = dequantise(package)
    except KeyError as error:
        raise PackageError(f"{name}: the package lacks the scale of {error}; make the package again") from error
    return without_equalisation(arrays, package.config, cast("Factors", factors))


def _are_factors(factors: object, network: Network) -> bool:
    """Whether this is, for LayerNorms of the network, one finite number a channel, none of them zero."""
    if not isinstance(factors, Mapping):
        return False
    channels = {layer.name: layer.columns for layer in network.layers if isinstance(layer, Norm)}
    for norm, values in cast("Mapping[str, object]", factors).items():
        numbers = cast("list[object]", values) if isinstance(values, list | tuple) else []
        if len(numbers) != channels.get(norm) or not all(
            isinstance(n, float | int) and 0.0 < abs(n) < np.inf for n in numbers
        ):
            return False
    return True
