"""Scales to integers: requantisation multipliers, weight rounding and clipping ranges."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.numerics import MAX_BIAS, MAX_SHIFT, NUMERICS
from hwgen.spec.weight_formats import DENSE8, PACKED4

FloatArray = NDArray[np.floating[Any]]
Array = NDArray[Any]

_SMALLEST_RATIO = 2.0 ** (NUMERICS.multiplier_bits - 1 - MAX_SHIFT)  # smallest with a full-precision multiplier
_CLIP_FRACTIONS = tuple(k / 50 for k in range(25, 51))  # candidates, of the largest magnitude
_NARROW_FRACTIONS = tuple(k / 32 for k in range(17, 33))  # the same for an output channel of four-bit weights
_CLIP_SAMPLES = 50_000  # values that a clipping search looks at


def multiplier(ratio: FloatArray | float, *, max_shift: int = MAX_SHIFT) -> tuple[Array, Array]:
    """Integers (M, S) with ``M * 2**-S`` nearest to each ratio, M in [2^15, 2^16) where S allows.

    Returns uint16 and uint8 arrays of the shape of ``ratio``. ValueError when a ratio is not positive or too large.
    """
    values = np.asarray(ratio, dtype=np.float64)
    if not (values > 0.0).all() or not np.isfinite(values).all():
        raise ValueError(f"requantisation ratio must be positive and finite, got {values.min()}..{values.max()}")
    top = 2**NUMERICS.multiplier_bits
    shift = NUMERICS.multiplier_bits - 1 - np.floor(np.log2(values)).astype(np.int64)
    overflow = np.round(np.ldexp(values, shift)) >= top
    shift = np.minimum(shift - overflow, max_shift)
    mult = np.round(np.ldexp(values, shift))
    if (shift < 0).any():
        raise ValueError(f"requantisation ratio {values.max()} is {top} or more")
    return mult.astype(np.uint16), shift.astype(np.uint8)


def rounded(values: FloatArray, limit: int) -> FloatArray:
    """Nearest integers, clipped to -limit..limit; still float."""
    return np.minimum(np.maximum(np.round(values), -limit), limit)


def narrow_scale(weight: FloatArray) -> FloatArray:
    """Scale of every output channel of four-bit weights [.., out, in]: of 16 clipping ranges, the least square error.

    With fifteen codes a finer step is worth more than the few largest weights, which are clipped.
    """
    limit = NUMERICS.narrow_weight_max
    widest: FloatArray = np.abs(weight).max(axis=-1) / limit
    best, least = widest, np.full(widest.shape, np.inf)
    for fraction in _NARROW_FRACTIONS:
        scale = fraction * np.where(widest == 0.0, 1.0, widest)
        error = np.square(rounded(weight / scale[..., None], limit) * scale[..., None] - weight).sum(axis=-1)
        best, least = np.where(error < least, fraction * widest, best), np.minimum(error, least)
    return best


def quantised_linear(
    weight: FloatArray, bias: FloatArray | None, *, in_scale: float, out_scale: float, int4: bool = False
) -> dict[str, Array]:
    """Arrays ``weight``, ``bias``, ``mult`` and ``shift`` of a linear layer [.., out, in].

    One symmetric weight scale per output channel, rounded to nearest; ``int4``: codes of four bits. A channel whose
    bias would not fit at accumulator scale, or whose multiplier would lose precision, gets a coarser scale.
    """
    bias = np.zeros(weight.shape[:-1], dtype=np.float64) if bias is None else bias
    limit = (PACKED4 if int4 else DENSE8).largest
    widest = narrow_scale(weight) if int4 else np.abs(weight).max(axis=-1) / limit
    bias_bound = np.abs(bias) / (in_scale * MAX_BIAS)
    scale = np.maximum(np.maximum(widest, bias_bound), _SMALLEST_RATIO * out_scale / in_scale)
    mult, shift = multiplier(scale * in_scale / out_scale)
    return {
        "weight": rounded(weight / scale[..., None], limit).astype(np.int8),
        "bias": rounded(bias / (scale * in_scale), MAX_BIAS).astype(np.int32),
        "mult": mult,
        "shift": shift,
    }


def clipping_scale(values: Array) -> float:
    """Scale of an int8 tensor [.., channels]: the clipping range, of 26 candidates, with the least square error."""
    flat = np.abs(values.ravel()).astype(np.float64)
    largest = float(flat.max(initial=0.0))
    if largest == 0.0:
        return 1.0
    stride = max(flat.size // _CLIP_SAMPLES, 1)
    while math.gcd(stride, values.shape[-1]) != 1:  # or the sample would miss channels
        stride += 1
    sample = np.append(flat[::stride], largest)
    best, best_error = largest / NUMERICS.activation_max, np.inf
    for fraction in _CLIP_FRACTIONS:
        scale = fraction * largest / NUMERICS.activation_max
        codes = np.minimum(np.round(sample / scale), NUMERICS.activation_max)
        error = float(np.square(codes * scale - sample).sum())
        if error < best_error:
            best, best_error = scale, error
    return float(best)
