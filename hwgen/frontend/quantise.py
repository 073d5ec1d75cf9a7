"""Float model to `QuantisedModel`, after docs/numerics.md; NumPy only.

Weights are rounded to nearest with one scale per output channel, to eight bits or, in the layers that the network
names (``Model.int4``), to four. The clipping range of an int8 activation follows a rule (`hwgen.frontend.ranges`)
over the calibration images and all tasks. The residual has one scale for the whole network, with headroom since its
int16 codes are plentiful. Equalise the float model first (`hwgen.frontend.calibration.equalise`): its tensors are then
comparable with the integer ones by a single factor each.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from golden.reference.layers.patches import PIXEL_SCALE
from golden.reference.m3vit_float import Arrays, check_float_arrays
from hwgen.frontend.activation_input import input_scale, input_scales, output_scale, stretch_of
from hwgen.frontend.bias_correction import corrected_bias, mean_input
from hwgen.frontend.calibration import Calibration
from hwgen.frontend.ranges import Ranges
from hwgen.frontend.scaling import Array, FloatArray, clipping_scale, multiplier, quantised_linear, rounded
from hwgen.frontend.zero_points import code_range, foldable, folded_bias
from hwgen.spec.array_kinds import zero_array
from hwgen.spec.graph_model import Model
from hwgen.spec.layers import (
    CLASS_TOKEN,
    Attention,
    Codes,
    Experts,
    Gate,
    Gelu,
    Layer,
    Linear,
    Norm,
    Patches,
    Pool,
    Position,
    Residual,
    Restore,
    Result,
    Select,
)
from hwgen.spec.numerics import MAX_BIAS, MAX_CONTEXT_SHIFT, MAX_NORM_SHIFT, NUMERICS
from hwgen.spec.package import QuantisedModel
from hwgen.spec.tables import default_tables
from hwgen.spec.weight_formats import PACKED4

CALIBRATION_RULE = "int8: least square error of 26 clipping ranges; residual: 1.5 x max; heads: 2 x max"
_RESIDUAL_HEADROOM = 1.5
_HEAD_HEADROOM = 2.0
_INT16_MAX = 2 ** (NUMERICS.residual_bits - 1) - 1
_SCORE_LIMIT = 2 ** (NUMERICS.score_bits - 1) - 1
_SCORES_PER_NAT = 2**NUMERICS.score_fraction_bits / math.log(2.0)  # score codes per unit of natural exponent
_GATE_SCALE = math.log(2.0) / 2**NUMERICS.gate_fraction_bits


class _Quantiser:
    """Builds the arrays of a package one layer at a time."""

    def __init__(self, arrays: Arrays, config: Model, calibration: Calibration, ranges: Ranges | None) -> None:
        self.config = config
        self.ranges = ranges
        self.source = {name: np.asarray(array, dtype=np.float64) for name, array in arrays.items()}
        self.calibration = calibration
        self.arrays: dict[str, Array] = {}
        self.residual = _RESIDUAL_HEADROOM * max(calibration.residual_max, 1e-12) / _INT16_MAX
        self.stretch = stretch_of(config.network, calibration.samples)
        self.scales: dict[str, float] = {"residual": self.residual} | input_scales(self.stretch)
        self.zeros: dict[str, int] = {}  # zero points of hidden units
        self.inputs: dict[str, float] = {}  # scales of tensors that no report shows

    def put(self, prefix: str, arrays: Mapping[str, Array]) -> None:
        """Store arrays under ``prefix.name``."""
        for name, array in arrays.items():
            self.arrays[f"{prefix}.{name}"] = array

    def activation(self, name: str, sample: str | None = None) -> float:
        """Choose, record and return the scale of an int8 tensor."""
        values = self.calibration.samples[sample or name]
        found = self.ranges.scale(name, values, self.calibration.images) if self.ranges else clipping_scale(values)
        self.scales[name] = found
        return found

    def hidden(self, layer: str, name: str, sample: str | None = None) -> float:
        """Choose, record and return the scale of hidden units, and their zero point, which ``layer`` adds."""
        values = self.calibration.samples[sample or name]
        if self.ranges and foldable(self.config.network, name):
            self.scales[name], self.zeros[name] = code_range(self.ranges, name, values, self.calibration.images)
        else:
            self.activation(name, sample)
        self.arrays[zero_array(layer)] = np.array([self.zeros.get(name, 0)], dtype=np.int8)
        self.scale_pair(layer, output_scale(self.scales) / self.scales[name], name="gelu_")
        return self.scales[name]

    def linear(self, name: str, in_scale: float, out_scale: float, *, bias: bool = True, zero: int = 0) -> None:
        """Quantise the linear layer ``name`` (or a stack of them, one per expert) for inputs of a zero point."""
        found = self.source[f"{name}.bias"] if bias else None
        weight, int4 = self.source[f"{name}.weight"], self.config.network.linears[name].format is PACKED4
        self.put(name, quantised_linear(weight, found, in_scale=in_scale, out_scale=out_scale, int4=int4))
        if found is not None and self.ranges and self.ranges.bias_correction:
            self._correct_bias(name, in_scale, out_scale)
        if zero:
            codes = self.arrays[f"{name}.weight"], self.arrays[f"{name}.bias"]
            self.arrays[f"{name}.bias"] = folded_bias(name, *codes, zero)

    def _correct_bias(self, name: str, in_scale: float, out_scale: float) -> None:
        codes = {part: self.arrays[f"{name}.{part}"] for part in ("weight", "mult", "shift")}
        weight, bias, mean = (
            self.source[f"{name}.weight"],
            self.source[f"{name}.bias"],
            mean_input(name, self.config.network, self.calibration),
        )
        if mean is not None:
            scales = {"in_scale": in_scale, "out_scale": out_scale}
            self.arrays[f"{name}.bias"] = corrected_bias(codes, weight, bias, mean, **scales)

    def scale_pair(self, prefix: str, ratio: FloatArray | float, *, name: str = "", max_shift: int = 47) -> None:
        """Store a multiplier and a shift as one-dimensional arrays."""
        mult, shift = multiplier(np.atleast_1d(np.asarray(ratio, dtype=np.float64)), max_shift=max_shift)
        self.put(prefix, {f"{name}mult": mult, f"{name}shift": shift})

    def norm(self, name: str, unit: float, scale: float) -> None:
        """Fold gamma, beta and the output scale into gain, offset and shift; ``unit``: real value of 1 of the input."""
        gain = self.source[f"{name}.weight"] * unit / scale
        offset = self.source[f"{name}.bias"] / scale
        shift = MAX_NORM_SHIFT
        while shift > 0 and (
            np.abs(gain).max() * 2.0**shift > _INT16_MAX or np.abs(offset).max() * 2.0**shift > MAX_BIAS
        ):
            shift -= 1
        self.put(
            name,
            {
                "gain": rounded(gain * 2.0**shift, _INT16_MAX).astype(np.int16),
                "offset": rounded(offset * 2.0**shift, MAX_BIAS).astype(np.int32),
                "shift": np.array([shift], dtype=np.uint8),
            },
        )

    def scores(self, layer: Attention, query_scale: float, key_scale: float) -> None:
        """Fold log2 e, the root of the head size and both scales into one multiplier per head.

        Scores beyond 16 octaves above zero are shifted down; below, up as far as the top allows.
        """
        per_product = _SCORES_PER_NAT / math.sqrt(layer.columns // layer.heads)
        ratio = per_product * query_scale * key_scale
        self.scale_pair(f"{layer.name}.scores", np.full(layer.heads, ratio))
        top = self.calibration.score_max[layer.name] * per_product
        bottom = self.calibration.score_min[layer.name] * per_product
        up = np.minimum(np.maximum(-_SCORE_LIMIT - bottom, 0.0), np.maximum(_SCORE_LIMIT - top, 0.0))
        centre = up - np.maximum(top - _SCORE_LIMIT, 0.0)
        self.arrays[f"{layer.name}.scores.bias"] = rounded(centre / ratio, MAX_BIAS).astype(np.int32)
        self.scales[layer.scores] = 1.0 / _SCORES_PER_NAT


# --- one function a kind of layer ---------------------------------------------------------------------------------


def _position(q: _Quantiser, layer: Position) -> None:
    """The table, with the class token in row 0 where there is one, at the scale of the residual stream."""
    table = q.source[layer.name].copy()
    if layer.class_token:
        table[0] += q.source[CLASS_TOKEN]
    q.arrays[layer.name] = rounded(table / q.residual, _INT16_MAX).astype(np.int16)


def _patches(q: _Quantiser, layer: Patches) -> None:
    """Pixels have the scale with which the network sees them."""
    q.inputs[layer.writes] = PIXEL_SCALE


def _norm(q: _Quantiser, layer: Norm) -> None:
    """A plain row comes in codes of the residual stream, a normalised one with its fraction bits."""
    unit = q.residual if layer.plain else 2.0**-NUMERICS.norm_fraction_bits
    q.norm(layer.name, unit, q.activation(layer.writes))


def _linear(q: _Quantiser, layer: Linear) -> None:
    rows = q.inputs.get(layer.source.tensor) or q.scales[layer.source.tensor]
    zero = q.zeros.get(layer.source.tensor, 0)
    quantised = partial(q.linear, layer.name, rows, bias=layer.bias == "used", zero=zero)  # given the outputs' scale
    match layer.finish:
        case Codes():
            quantised(q.activation(layer.writes))
        case Gelu():
            quantised(input_scale(q.scales))
            q.hidden(layer.name, layer.writes)
        case Residual():
            quantised(q.residual)
            q.scales[layer.writes] = q.residual
        case Gate():
            quantised(_GATE_SCALE)
            logits, _, scores, _ = layer.tensors()
            q.scales[logits.name], q.scales[scores.name] = _GATE_SCALE, 2.0**-NUMERICS.expert_score_bits
        case Result():
            assert layer.task is not None
            largest = max(q.calibration.head_max[layer.task], 1e-12)
            q.scales[layer.writes] = _HEAD_HEADROOM * largest / _INT16_MAX
            quantised(q.scales[layer.writes])


def _attention(q: _Quantiser, layer: Attention) -> None:
    query, key, value = (q.scales[rows.tensor] for rows in layer.reads())
    q.scores(layer, query, key)
    context = q.activation(layer.writes)
    q.scale_pair(f"{layer.name}.context", value / context, max_shift=MAX_CONTEXT_SHIFT)


def _pool(q: _Quantiser, layer: Pool) -> None:
    """The mean is smaller than its rows, and has a scale of its own."""
    rows = q.scales[layer.source.tensor]
    q.scales[layer.values], q.scales[layer.scores] = rows, 1.0 / _SCORES_PER_NAT
    q.scale_pair(f"{layer.name}.context", rows / q.activation(layer.writes), max_shift=MAX_CONTEXT_SHIFT)


def _experts(q: _Quantiser, layer: Experts) -> None:
    """Hidden units of all experts have one scale and one zero point."""
    first, second = layer.formats()
    q.linear(first, q.scales[layer.source.tensor], input_scale(q.scales))
    hidden = q.hidden(first, layer.codes, layer.observed[0])
    q.linear(second, hidden, q.residual, zero=q.zeros.get(layer.codes, 0))
    q.scales[layer.writes] = q.residual


def _stream(q: _Quantiser, layer: Select | Restore) -> None:
    """Rows of the residual stream."""
    q.scales[layer.writes] = q.residual


FACES: dict[type[Layer], Callable[[_Quantiser, Any], None]] = {
    Position: _position,
    Patches: _patches,
    Norm: _norm,
    Linear: _linear,
    Attention: _attention,
    Pool: _pool,
    Experts: _experts,
    Select: _stream,
    Restore: _stream,
}


def quantise(
    arrays: Arrays,
    config: Model,
    calibration: Calibration,
    *,
    ranges: Ranges | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> QuantisedModel:
    """Quantise a float model with what `calibrate` found when it ran this very model.

    ``ranges`` choose the scales of int8 activations, and zero points of hidden units. Without them it is the plain
    search of `clipping_scale` without zero points, for networks that run on images of the kind that calibrated them:
    the shipped and the seeded ones.
    ValueError names an array that is missing, misshapen, or holds NaN or infinite values, an activation without range,
    and a channel whose bias has no room for the zero point of its inputs.
    """
    check_float_arrays(arrays, config)
    quantiser = _Quantiser(arrays, config, calibration, ranges)
    for layer in config.network.layers:
        FACES[type(layer)](quantiser, layer)
    tables = default_tables(function=config.network.activation, stretch=quantiser.stretch)
    for name, table in tables.items():
        quantiser.arrays[f"tables.{name}"] = table.astype(np.int32)
    return QuantisedModel(
        config=config,
        arrays=quantiser.arrays,
        scales=quantiser.scales,
        provenance={
            **(ranges.as_dict() if ranges else {"calibration_rule": CALIBRATION_RULE}),
            "calibration_images": calibration.images,
            **(provenance or {}),
        },
    )
