"""Bias correction: what rounding the weights of a linear layer adds to the mean of its outputs leaves by its bias."""

from collections.abc import Mapping

import numpy as np

from hwgen.frontend.calibration import Calibration
from hwgen.frontend.scaling import Array, FloatArray, rounded
from hwgen.spec.graph import Network
from hwgen.spec.layers import Linear
from hwgen.spec.numerics import MAX_BIAS


def mean_input(name: str, network: Network, calibration: Calibration) -> FloatArray | None:
    """Mean input [.., in] of the linear layer ``name`` over the calibration images; None when its input is not sampled.

    Experts have one mean each, over the tokens that chose them.
    """
    if name in calibration.means:
        return calibration.means[name]
    layer = network.linears[name].layer
    sample = calibration.samples.get(layer.source.tensor) if isinstance(layer, Linear) else None
    if sample is None or not isinstance(layer, Linear):
        return None
    return np.tile(sample.mean(axis=0, dtype=np.float64), layer.beside)


def weight_steps(codes: Mapping[str, Array], *, in_scale: float, out_scale: float) -> FloatArray:
    """Real value of one weight code of every output channel, as the machine multiplies."""
    ratio = np.ldexp(codes["mult"].astype(np.float64), -codes["shift"].astype(np.int64))
    return ratio * out_scale / in_scale


def corrected_bias(
    codes: Mapping[str, Array],
    weight: FloatArray,
    bias: FloatArray,
    mean: FloatArray,
    *,
    in_scale: float,
    out_scale: float,
) -> Array:
    """Bias codes of a quantised linear layer [.., out, in] so that inputs of this mean give the real mean output.

    Adds ``E[x] (W - Wq)`` to the real bias before it is rounded, Wq being what the weight codes stand for.
    """
    step = weight_steps(codes, in_scale=in_scale, out_scale=out_scale)
    error = weight - codes["weight"] * step[..., None]
    moved = bias + (error * mean[..., None, :]).sum(axis=-1)
    return rounded(moved / (step * in_scale), MAX_BIAS).astype(np.int32)
