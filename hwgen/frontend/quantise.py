"""Float model to `QuantisedModel`, after docs/numerics.md; NumPy only.

Weights are rounded to nearest with one scale per output channel, to eight bits or, in the layers that the network
names (``ModelConfig.int4``), to four. The clipping range of an int8 activation follows a rule (`hwgen.frontend.ranges`)
over the calibration images and all tasks. The residual has one scale for the whole network, with headroom since its
int16 codes are plentiful. Equalise the float model first (`hwgen.frontend.calibration.equalise`): its tensors are then
comparable with the integer ones by a single factor each.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from golden.reference.layers.patches import PIXEL_SCALE
from golden.reference.m3vit_float import Arrays, check_float_arrays
from hwgen.frontend.bias_correction import corrected_bias, mean_input
from hwgen.frontend.calibration import Calibration
from hwgen.frontend.ranges import Ranges
from hwgen.frontend.scaling import Array, FloatArray, clipping_scale, multiplier, quantised_linear, rounded
from hwgen.spec.model import ModelConfig
from hwgen.spec.numerics import MAX_BIAS, MAX_CONTEXT_SHIFT, MAX_NORM_SHIFT, NUMERICS
from hwgen.spec.package import QuantisedModel
from hwgen.spec.tables import default_tables

CALIBRATION_RULE = "int8: least square error of 26 clipping ranges; residual: 1.5 x max; heads: 2 x max"
_RESIDUAL_HEADROOM = 1.5
_HEAD_HEADROOM = 2.0
_INT16_MAX = 2 ** (NUMERICS.residual_bits - 1) - 1
_SCORE_LIMIT = 2 ** (NUMERICS.score_bits - 1) - 1
_SCORES_PER_NAT = 2**NUMERICS.score_fraction_bits / math.log(2.0)  # score codes per unit of natural exponent
_GATE_SCALE = math.log(2.0) / 2**NUMERICS.gate_fraction_bits
_GELU_IN_SCALE = 2.0**-NUMERICS.gelu_fraction_bits
_GELU_OUT_SCALE = 2.0**-NUMERICS.gelu_table_bits


class _Quantiser:
    """Builds the arrays of a package one layer at a time."""

    def __init__(self, arrays: Arrays, config: ModelConfig, calibration: Calibration, ranges: Ranges | None) -> None:
        self.config = config
        self.ranges = ranges
        self.source = {name: np.asarray(array, dtype=np.float64) for name, array in arrays.items()}
        self.calibration = calibration
        self.arrays: dict[str, Array] = {}
        self.residual = _RESIDUAL_HEADROOM * max(calibration.residual_max, 1e-12) / _INT16_MAX
        self.scales: dict[str, float] = {"residual": self.residual}

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

    def linear(self, name: str, in_scale: float, out_scale: float, *, bias: bool = True) -> None:
        """Quantise the linear layer ``name`` (or a stack of them, one per expert)."""
        found = self.source[f"{name}.bias"] if bias else None
        weight, int4 = self.source[f"{name}.weight"], name in self.config.int4
        self.put(name, quantised_linear(weight, found, in_scale=in_scale, out_scale=out_scale, int4=int4))
        if found is not None and self.ranges and self.ranges.bias_correction:
            self._correct_bias(name, in_scale, out_scale)

    def _correct_bias(self, name: str, in_scale: float, out_scale: float) -> None:
        codes = {part: self.arrays[f"{name}.{part}"] for part in ("weight", "mult", "shift")}
        weight, bias, mean = (
            self.source[f"{name}.weight"],
            self.source[f"{name}.bias"],
            mean_input(name, self.calibration),
        )
        if mean is not None:
            scales = {"in_scale": in_scale, "out_scale": out_scale}
            self.arrays[f"{name}.bias"] = corrected_bias(codes, weight, bias, mean, **scales)

    def scale_pair(self, prefix: str, ratio: FloatArray | float, *, name: str = "", max_shift: int = 47) -> None:
        """Store a multiplier and a shift as one-dimensional arrays."""
        mult, shift = multiplier(np.atleast_1d(np.asarray(ratio, dtype=np.float64)), max_shift=max_shift)
        self.put(prefix, {f"{name}mult": mult, f"{name}shift": shift})

    def norm(self, name: str) -> float:
        """Fold gamma, beta and the output scale into gain, offset and shift; returns the output scale."""
        scale = self.activation(name)
        gain = self.source[f"{name}.weight"] / scale / 2**NUMERICS.norm_fraction_bits
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
        return scale

    def patch_embed(self) -> None:
        """Patch embedding, and the position table with the class token in row 0."""
        self.linear("patch_embed", PIXEL_SCALE, self.residual)
        table = self.source["position"].copy()
        table[0] += self.source["class_token"]
        self.arrays["position"] = rounded(table / self.residual, _INT16_MAX).astype(np.int16)
        self.scales["patch_embed"] = self.residual

    def scores(self, block: int, query_scale: float, key_scale: float) -> None:
        """Fold log2 e, the root of the head size and both scales into one multiplier per head.

        Scores beyond 16 octaves above zero are shifted down; below, up as far as the top allows.
        """
        at = f"blocks.{block}"
        per_product = _SCORES_PER_NAT / math.sqrt(self.config.head_dim)
        ratio = per_product * query_scale * key_scale
        self.scale_pair(f"{at}.scores", np.full(self.config.heads, ratio))
        top = self.calibration.score_max[block] * per_product
        bottom = self.calibration.score_min[block] * per_product
        up = np.minimum(np.maximum(-_SCORE_LIMIT - bottom, 0.0), np.maximum(_SCORE_LIMIT - top, 0.0))
        centre = up - np.maximum(top - _SCORE_LIMIT, 0.0)
        self.arrays[f"{at}.scores.bias"] = rounded(centre / ratio, MAX_BIAS).astype(np.int32)
        self.scales[f"{at}.scores"] = 1.0 / _SCORES_PER_NAT

    def attention(self, block: int) -> None:
        """Projections, scores and context of one block."""
        at = f"blocks.{block}"
        rows = self.norm(f"{at}.norm1")
        query, key, value = (self.activation(f"{at}.{name}") for name in ("query", "key", "value"))
        self.linear(f"{at}.query", rows, query)
        self.linear(f"{at}.key", rows, key, bias=False)
        self.linear(f"{at}.value", rows, value)
        self.scores(block, query, key)
        context = self.activation(f"{at}.context")
        self.scale_pair(f"{at}.context", value / context, max_shift=MAX_CONTEXT_SHIFT)
        self.linear(f"{at}.proj", context, self.residual)
        self.scales[f"{at}.attention"] = self.residual

    def mlp(self, block: int) -> None:
        """The two layers of a dense block or of all experts, and the gates of every task."""
        at = f"blocks.{block}"
        moe = self.config.is_moe(block)
        rows = self.norm(f"{at}.norm2")
        if moe:
            for task in self.config.tasks:
                self.linear(f"{at}.gate.{task.name}", rows, _GATE_SCALE, bias=False)
            self.scales[f"{at}.gate"] = _GATE_SCALE
            self.scales[f"{at}.expert_scores"] = 2.0**-NUMERICS.expert_score_bits
        hidden = self.activation(f"{at}.hidden", f"{at}.expert_hidden" if moe else None)
        inner = f"{at}.experts." if moe else f"{at}."
        self.linear(f"{inner}fc1", rows, _GELU_IN_SCALE)
        self.scale_pair(f"{inner}fc1", _GELU_OUT_SCALE / hidden, name="gelu_")
        self.linear(f"{inner}fc2", hidden, self.residual)
        self.scales[f"{at}.moe" if moe else f"{at}.mlp"] = self.residual

    def heads(self) -> None:
        """Final LayerNorm and the head of every task."""
        rows = self.norm("norm")
        for task in self.config.tasks:
            scale = _HEAD_HEADROOM * max(self.calibration.head_max[task.name], 1e-12) / _INT16_MAX
            self.linear(f"heads.{task.name}", rows, scale)
            self.scales[f"heads.{task.name}"] = scale


def quantise(
    arrays: Arrays,
    config: ModelConfig,
    calibration: Calibration,
    *,
    ranges: Ranges | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> QuantisedModel:
    """Quantise a float model with what `calibrate` found when it ran this very model.

    ``ranges`` choose the scales of int8 activations. Without them it is the plain search of `clipping_scale`, for
    networks that run on images of the kind that calibrated them: the shipped and the seeded ones.
    ValueError names an array that is missing, misshapen, or holds NaN or infinite values, and an activation without
    range.
    """
    check_float_arrays(arrays, config)
    quantiser = _Quantiser(arrays, config, calibration, ranges)
    quantiser.patch_embed()
    for block in range(config.depth):
        quantiser.attention(block)
        quantiser.mlp(block)
    quantiser.heads()
    for name, table in default_tables().items():
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
