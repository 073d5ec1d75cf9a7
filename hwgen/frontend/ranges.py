"""Rules that set the clipping range of an int8 activation from what calibration saw of it.

``min-max``: the largest magnitude. ``percentile``: that percentile of all magnitudes. ``mse``: of 160 ranges the one
with the least root of square error over signal, averaged over the calibration images, each of them taken as it is and
scaled by `HEADROOM` up and down. An image that was not seen may be larger or smaller than those that were; averages of
roots of ratios keep one image of unusual size from setting the range for all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.frontend.layers.formats import tensor_formats
from hwgen.frontend.scaling import Array, FloatArray
from hwgen.spec.graph_model import Model
from hwgen.spec.numerics import NUMERICS

RULES = ("mse", "percentile", "min-max")
HEADROOM = 1.5  # factor by which the mse rule makes the values it has seen larger, and smaller
DEFAULT_PERCENTILE = 99.99
CANDIDATES = np.geomspace(0.15, 1.6, 160)  # ranges that the mse rule tries, relative to the largest magnitude
_BINS = 4096  # of the histogram of magnitudes: 32 or more per step of the finest range that matters
_SPREAD = 1000.0  # a fixed range may be this much smaller or larger than the largest magnitude


@dataclass(frozen=True, kw_only=True)
class RangeRule:
    """One rule; ValueError when it is unknown or the percentile is not in 50..100."""

    rule: str = "mse"
    percentile: float = DEFAULT_PERCENTILE  # of magnitudes; for rule "percentile" only

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"unknown calibration rule {self.rule!r}; there are {', '.join(RULES)}")
        if not 50.0 <= self.percentile <= 100.0:
            raise ValueError(f"percentile {self.percentile:g}: must be in 50..100, of all magnitudes")

    def as_dict(self) -> dict[str, Any]:
        """The rule and the parameters that it uses, for a provenance."""
        own = {"percentile": {"percentile": self.percentile}, "mse": {"headroom": HEADROOM}}
        return {"rule": self.rule, **own.get(self.rule, {})}


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """How the scales of a package are chosen."""

    rule: RangeRule = field(default_factory=RangeRule)
    overrides: Mapping[str, RangeRule | float] = field(default_factory=dict[str, RangeRule | float])  # or fixed scale
    bias_correction: bool = False
    choice: Mapping[str, Any] | None = None  # how the rule was chosen, for a provenance; None: it was given

    def as_dict(self) -> dict[str, Any]:
        """For a provenance."""
        chosen: dict[str, dict[str, Any]] = {
            name: rule.as_dict() if isinstance(rule, RangeRule) else {"scale": rule}
            for name, rule in sorted(self.overrides.items())
        }
        more: dict[str, Any] = {"overrides": chosen} if chosen else {}
        if self.choice is not None:
            more["calibration_choice"] = dict(self.choice)
        return {"calibration_rule": self.rule.as_dict(), "bias_correction": self.bias_correction, **more}

    def scale(self, name: str, values: Array, images: int) -> float:
        """Scale of the int8 tensor ``name`` from its ``values`` [rows of all images, channels].

        ValueError names a tensor without range, and a fixed scale that has nothing to do with the values.
        """
        largest = float(np.abs(values).max(initial=0.0))
        if largest == 0.0 or not np.isfinite(largest):
            raise ValueError(f"{name} is zero, NaN or infinite on all calibration images: it has no range")
        rule = self.overrides.get(name, self.rule)
        if isinstance(rule, RangeRule):
            return range_scale(values, images, rule)
        limit = rule * NUMERICS.activation_max
        if not largest / _SPREAD <= limit <= largest * _SPREAD:
            raise ValueError(
                f"{name}: a scale of {rule:g} ends at {limit:.3g}, and calibration saw magnitudes up to {largest:.3g};"
                f" give a range within a factor of {_SPREAD:g}"
            )
        return rule


def int8_tensors(config: Model) -> tuple[str, ...]:
    """Names of the activations that have a range: all that become codes of eight bits by a scale of their own."""
    formats = tensor_formats(config.network)
    return tuple(name for name, form in formats.items() if form.largest == NUMERICS.activation_max and form.chosen)


def range_scale(values: Array, images: int, rule: RangeRule) -> float:
    """Scale of an int8 tensor by one rule; ``values`` are the rows of ``images`` images, equally many of each."""
    magnitudes = np.abs(values.reshape(images, -1)).astype(np.float32)
    largest = float(magnitudes.max())
    if rule.rule == "min-max":
        return largest / NUMERICS.activation_max
    if rule.rule == "percentile":
        found = float(np.percentile(magnitudes, rule.percentile))
        return (found or largest) / NUMERICS.activation_max  # more zeros than the percentile leaves
    return _least_error_scale(magnitudes, largest)


def _histogram(magnitudes: FloatArray, largest: float) -> tuple[FloatArray, FloatArray]:
    """Counts [images, bins] of magnitudes, and the middle of each bin."""
    width = largest / _BINS
    counts = [np.bincount(np.minimum((row / width).astype(np.int64), _BINS - 1), minlength=_BINS) for row in magnitudes]
    return np.stack(counts).astype(np.float64), (np.arange(_BINS) + 0.5) * width


def _least_error_scale(magnitudes: FloatArray, largest: float) -> float:
    counts, middles = _histogram(magnitudes, largest)
    signal = np.maximum(counts @ np.square(middles), np.finfo(np.float64).tiny)
    best, least = largest / NUMERICS.activation_max, np.inf
    for candidate in CANDIDATES:
        scale = float(candidate) * largest / NUMERICS.activation_max
        error = 0.0
        for stretch in (1.0 / HEADROOM, 1.0, HEADROOM):
            real = middles * stretch
            codes = np.minimum(np.round(real / scale), NUMERICS.activation_max)
            error += float(np.sqrt(counts @ np.square((codes * scale - real) / stretch) / signal).mean())
        if error < least:
            best, least = scale, error
    return best
