"""Codes of hidden units: the value 0 gets a code of its own, so that all codes are used.

Behind GELU and its like values begin a little below zero and end far above it. Codes around zero would use half of
their range; a zero point moves them, so that the smallest value has code -127 and the largest 127. The next layer
takes it out again by its bias: ``SUM W (code - zero) = SUM W code - zero SUM W``.
"""

from typing import NamedTuple

import numpy as np

from hwgen.frontend.ranges import CANDIDATES, HEADROOM, RangeRule, Ranges
from hwgen.frontend.scaling import Array, FloatArray
from hwgen.spec.graph import Network
from hwgen.spec.layers import Linear
from hwgen.spec.numerics import MAX_BIAS, NUMERICS

_MAX = NUMERICS.activation_max
_BINS = 8192  # of the histogram of values: 32 to a code of the widest range


class CodeRange(NamedTuple):
    """Which codes stand for real values: ``real = (code - zero) * scale``."""

    scale: float
    zero: int

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest real value whose code is not cut."""
        return (-_MAX - 0.5 - self.zero) * self.scale, (_MAX + 0.5 - self.zero) * self.scale

    def stored(self, real: FloatArray) -> FloatArray:
        """``real`` as its codes say."""
        codes = np.minimum(np.maximum(np.round(real / self.scale) + self.zero, -_MAX), _MAX)
        return (codes - self.zero) * self.scale


def filling(low: float, high: float) -> CodeRange:
    """Codes that end at ``low`` <= 0 and ``high`` >= 0, which are not both zero; 0 itself is a code."""
    scale = (high - low) / (2 * _MAX)
    return CodeRange(scale, round(-_MAX - low / scale))


def code_range(ranges: Ranges, name: str, values: Array, images: int) -> CodeRange:
    """Codes of the hidden units ``name`` from their ``values`` [rows of all images, units] by the rule for this tensor.

    The rule says where the values end that are far from zero; those on the other side of it are never cut. A scale
    that a user has fixed is that of codes around zero, and so is one that a zero point would not make finer.
    ValueError as `Ranges.scale`.
    """
    symmetric, rule = ranges.scale(name, values, images), ranges.overrides.get(name, ranges.rule)
    if not isinstance(rule, RangeRule):
        return CodeRange(symmetric, 0)
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if rule.rule == "mse" and high > -low:
        found = _least_error(values.reshape(images, -1), low, high)
    else:
        found = filling(max(low, -symmetric * _MAX), min(high, symmetric * _MAX))
    return found if found.scale < symmetric else CodeRange(symmetric, 0)


def _histogram(values: Array, low: float, high: float) -> tuple[FloatArray, FloatArray]:
    """Counts [images, bins] of values, and the middle of each bin."""
    width = (high - low) / _BINS
    counts = [
        np.bincount(np.minimum(((row - low) / width).astype(np.int64), _BINS - 1), minlength=_BINS) for row in values
    ]
    return np.stack(counts).astype(np.float64), low + (np.arange(_BINS) + 0.5) * width


def _least_error(values: Array, low: float, high: float) -> CodeRange:
    """The range whose error is least for values as they are and for larger and smaller ones, as of `range_scale`.

    Only what lies above zero is stretched: below, the activation itself ends.
    """
    counts, middles = _histogram(values, low, high)
    best, least = filling(low, high), np.inf
    for candidate in CANDIDATES:
        found, error = filling(low, float(candidate) * high), 0.0
        for stretch in (1.0 / HEADROOM, 1.0, HEADROOM):
            real = np.where(middles > 0.0, middles * stretch, middles)
            signal = np.maximum(counts @ np.square(real), np.finfo(np.float64).tiny)
            error += float(np.sqrt(counts @ np.square(found.stored(real) - real) / signal).mean())
        if error < least:
            best, least = found, error
    return best


def foldable(network: Network, tensor: str) -> bool:
    """Whether a tensor can have a zero point: all layers that write it add one, all that read it have a bias."""
    writers = [layer for layer in network.layers if layer.writes == tensor]
    readers = [reader for task in network.tasks for reader in network.readers(tensor, task)]
    added = all(tensor in layer.zero_points() for layer in writers)
    return added and all(isinstance(reader, Linear) for reader in readers)


def folded_bias(name: str, weight: Array, bias: Array, zero: int) -> Array:
    """Bias codes [.., out] of the layer ``name`` for inputs of this zero point; ``weight`` [.., out, in] are codes.

    ValueError names a channel whose bias the machine does not hold.
    """
    folded = bias.astype(np.int64) - zero * weight.sum(axis=-1, dtype=np.int64)
    wrong = np.argwhere(np.abs(folded) > MAX_BIAS)
    if len(wrong):
        index = tuple(int(place) for place in wrong[0])
        raise ValueError(
            f"{name}.bias{list(index)} would be {int(folded[index])} with the zero point {zero} of its inputs, the"
            f" machine takes magnitudes up to {MAX_BIAS}; give these inputs a scale (--overrides): then they have none"
        )
    return folded.astype(np.int32)
