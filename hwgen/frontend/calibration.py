"""Calibration: run a float model on images under every task and keep what its tensors look like."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from golden.reference.layers.patches import pixel_rows
from golden.reference.m3vit_float import Arrays, FloatModel, Tensors
from hwgen.frontend.equalisation import norms_of
from hwgen.frontend.scaling import Array, FloatArray
from hwgen.spec.layers import Patches
from hwgen.spec.model import ModelConfig
from hwgen.spec.numerics import DARKEST_PIXEL, NUMERICS

_SAMPLED = ("norm1", "norm2", "query", "key", "value", "context", "hidden", "expert_hidden")
GELU_INPUT_LIMIT = 2.0 ** (NUMERICS.residual_bits - 1 - NUMERICS.gelu_fraction_bits)  # Q5.11; GELU(z) is z that far up
_FACTOR_FLOOR = 1e-3  # smallest equalisation factor relative to the largest of the same LayerNorm


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a float model's tensors look like over the calibration images and all tasks."""

    images: int  # images observed, each under every task
    samples: dict[str, Array]  # rows [n, channels] of each int8 tensor, float32
    residual_max: float  # largest magnitude in the residual stream, of what is added to it, and of expert outputs
    head_max: dict[str, float]  # largest output magnitude per task
    score_min: dict[int, FloatArray]  # per block: smallest q.k of each head
    score_max: dict[int, FloatArray]  # per block: largest q.k of each head
    means: dict[str, FloatArray] = field(default_factory=dict[str, FloatArray])  # mean input [.., in] of a linear layer
    # that does not see every row of a sampled tensor: patch_embed, heads, and the layers of experts [experts, in]


class _Collector:
    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self.samples: defaultdict[str, list[Array]] = defaultdict(list)
        self.residual_max = 0.0
        self.head_max: defaultdict[str, float] = defaultdict(float)
        self.score_min = {block: np.full(config.heads, np.inf) for block in range(config.depth)}
        self.score_max = {block: np.full(config.heads, -np.inf) for block in range(config.depth)}
        self._sums: dict[str, FloatArray] = {}
        self._rows: dict[str, FloatArray] = {}

    @property
    def means(self) -> dict[str, FloatArray]:
        """Mean input of the layers that `Calibration.means` lists; zero of an expert that no token chose."""
        return {name: total / np.maximum(self._rows[name], 1.0)[..., None] for name, total in self._sums.items()}

    def add_rows(self, name: str, rows: Array) -> None:
        """Add rows [n, in] to the mean input of a layer."""
        self._add_sums(name, rows.sum(axis=0), np.array(float(len(rows))))

    def add(self, tensors: Tensors, task: str) -> None:
        """Take in every tensor of one image under one task."""
        residual = tensors["patch_embed"]
        self._add_to_residual(residual)
        for block in range(self.config.depth):
            at = f"blocks.{block}"
            self._add_scores(block, tensors[f"{at}.query"], tensors[f"{at}.key"])
            for name in _SAMPLED:
                if f"{at}.{name}" in tensors:
                    rows = tensors[f"{at}.{name}"]
                    self.samples[f"{at}.{name}"].append(rows.reshape(-1, rows.shape[-1]).astype(np.float32))
            for name in ("attention", "moe" if self.config.is_moe(block) else "mlp"):
                self._add_to_residual(tensors[f"{at}.{name}"])
                self._add_to_residual(tensors[f"{at}.{name}"] - residual)
                residual = tensors[f"{at}.{name}"]
            if self.config.is_moe(block):
                self._add_to_residual(tensors[f"{at}.expert_outputs"])
                self._add_experts(at, tensors)
        dense = self.config.task(task).kind != "classification"
        self.add_rows(f"heads.{task}", tensors["norm"][1:] if dense else tensors["norm"][:1])
        self.samples["norm"].append(tensors["norm"].astype(np.float32))
        self.head_max[task] = max(self.head_max[task], float(np.abs(tensors[f"heads.{task}"]).max()))

    def _add_to_residual(self, tensor: Array) -> None:
        self.residual_max = max(self.residual_max, float(np.abs(tensor).max()))

    def _add_sums(self, name: str, total: FloatArray, rows: FloatArray) -> None:
        self._sums[name] = self._sums[name] + total if name in self._sums else total
        self._rows[name] = self._rows[name] + rows if name in self._rows else rows

    def _add_experts(self, at: str, tensors: Tensors) -> None:
        """Add what each expert's two layers were given."""
        chosen, hidden = tensors[f"{at}.experts"], tensors[f"{at}.expert_hidden"]
        rows = np.repeat(tensors[f"{at}.norm2"][:, None], chosen.shape[1], axis=1)
        picks = (chosen.reshape(-1) == np.arange(self.config.experts)[:, None]).astype(np.float64)  # [experts, rows]
        for layer, inputs in (("fc1", rows), ("fc2", hidden)):
            self._add_sums(f"{at}.experts.{layer}", picks @ inputs.reshape(-1, inputs.shape[-1]), picks.sum(axis=1))

    def _add_scores(self, block: int, query: Array, key: Array) -> None:
        q, k = (x.reshape(-1, self.config.heads, self.config.head_dim).swapaxes(0, 1) for x in (query, key))
        products = q @ k.swapaxes(1, 2)
        self.score_min[block] = np.minimum(self.score_min[block], products.min(axis=(1, 2)))
        self.score_max[block] = np.maximum(self.score_max[block], products.max(axis=(1, 2)))


def calibrate(arrays: Arrays, config: ModelConfig, images: Sequence[NDArray[np.uint8]]) -> Calibration:
    """Observe the model on every image under every task, pixels as the machine sees them; ValueError without images."""
    if not images:
        raise ValueError(f"{config.name}: calibration needs at least one image")
    model = FloatModel(arrays, config, details=True)
    collector = _Collector(config)
    patches = next(layer for layer in config.network.layers if isinstance(layer, Patches))
    for image in (np.maximum(image, DARKEST_PIXEL) for image in images):
        collector.add_rows("patch_embed", pixel_rows(image, patches))
        for task in config.tasks:
            collector.add(model.run(image, task.name), task.name)
    collector.residual_max = max(collector.residual_max, float(np.abs(arrays["position"]).max()))
    return Calibration(
        images=len(images),
        samples={name: np.concatenate(rows) for name, rows in collector.samples.items()},
        residual_max=collector.residual_max,
        head_max=dict(collector.head_max),
        score_min=collector.score_min,
        score_max=collector.score_max,
        means=collector.means,
    )


def saturation_notes(calibration: Calibration) -> list[str]:
    """A sentence for each block whose hidden units pass the largest input of GELU, where the machine saturates."""
    notes: list[str] = []
    for name, sample in calibration.samples.items():
        share = float((sample > GELU_INPUT_LIMIT).mean()) if name.endswith("hidden") else 0.0
        if share > 0.0:
            notes.append(
                f"{name.replace('expert_hidden', 'hidden')} reaches {float(sample.max()):.1f} in calibration; the input"
                f" of GELU ends at {GELU_INPUT_LIMIT:g}: {100 * share:.2g} % of the values are cut there"
            )
    return notes


def equalise(
    arrays: Arrays, config: ModelConfig, calibration: Calibration
) -> tuple[dict[str, FloatArray], Calibration]:
    """The same function with every LayerNorm output channel spanning the same range in the calibration.

    A channel's range divides the LayerNorm's weight and bias and multiplies the columns of every weight that reads it
    (all experts and all tasks' gates or heads). Factors are relative to the geometric mean of the LayerNorm's channels.
    Returns float32 arrays, and what the calibration would have found with them.
    """
    equal = {name: np.array(array, dtype=np.float64) for name, array in arrays.items()}
    samples, means = dict(calibration.samples), dict(calibration.means)
    for name, readers in norms_of(config).items():
        spans = np.abs(samples[name]).max(axis=0).astype(np.float64)
        spans = np.maximum(spans, max(float(spans.max()) * _FACTOR_FLOOR, 1e-30))
        factors = spans / np.exp(np.log(spans).mean())
        samples[name] = (samples[name] / factors).astype(np.float32)
        equal[f"{name}.weight"] /= factors
        equal[f"{name}.bias"] /= factors
        for reader in readers:
            equal[reader] *= factors
            layer = reader.removesuffix(".weight")
            if layer in means:
                means[layer] = means[layer] / factors
    seen = replace(calibration, samples=samples, means=means)
    return {name: array.astype(np.float32) for name, array in equal.items()}, seen
