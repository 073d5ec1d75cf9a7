"""Float forward pass of an M3ViT in NumPy, with every named tensor that the integer golden model also names.

A float model is a mapping from the names of `float_arrays` to arrays; a linear layer's weight is [out, in]. This is the
reference that the quantised network is compared with, and what calibration observes. No torch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.model import ModelConfig

FloatArray = NDArray[np.floating[Any]]
Arrays = Mapping[str, FloatArray]
Tensors = dict[str, NDArray[Any]]

PIXEL_SCALE = 1.0 / 64.0  # the network sees (pixel - 128) / 64
NORM_EPSILON = 1e-6


def _linear_shapes(name: str, out: int, inputs: int, lead: tuple[int, ...] = ()) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (*lead, out, inputs), f"{name}.bias": (*lead, out)}


def _norm_shapes(name: str, dim: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}


def _block_shapes(config: ModelConfig, block: int) -> dict[str, tuple[int, ...]]:
    at, dim = f"blocks.{block}", config.dim
    shapes = _norm_shapes(f"{at}.norm1", dim) | _norm_shapes(f"{at}.norm2", dim)
    for name in ("query", "key", "value", "proj"):
        shapes |= _linear_shapes(f"{at}.{name}", dim, dim)
    if not config.is_moe(block):
        return (
            shapes
            | _linear_shapes(f"{at}.fc1", config.mlp_hidden, dim)
            | _linear_shapes(f"{at}.fc2", dim, config.mlp_hidden)
        )
    for task in config.tasks:
        shapes[f"{at}.gate.{task.name}.weight"] = (config.experts, dim)
    lead = (config.experts,)
    shapes |= _linear_shapes(f"{at}.experts.fc1", config.expert_hidden, dim, lead)
    return shapes | _linear_shapes(f"{at}.experts.fc2", dim, config.expert_hidden, lead)


def float_arrays(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every array of a float model."""
    shapes: dict[str, tuple[int, ...]] = {"class_token": (config.dim,), "position": (config.tokens, config.dim)}
    shapes |= _linear_shapes("patch_embed", config.dim, config.patch_values)
    for block in range(config.depth):
        shapes |= _block_shapes(config, block)
    shapes |= _norm_shapes("norm", config.dim)
    for task in config.tasks:
        shapes |= _linear_shapes(f"heads.{task.name}", task.outputs, config.dim)
    return shapes


def check_float_arrays(arrays: Arrays, config: ModelConfig) -> None:
    """ValueError names the first array that is missing, has the wrong shape, or is not finite."""
    for name, shape in float_arrays(config).items():
        if name not in arrays:
            raise ValueError(f"{config.name}: float array {name!r} is missing")
        if arrays[name].shape != shape:
            raise ValueError(f"{config.name}: {name} has shape {list(arrays[name].shape)}, expected {list(shape)}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{config.name}: {name} holds NaN or infinite values")


def erf(x: FloatArray) -> FloatArray:
    """Error function, absolute error below 2e-7 (Abramowitz and Stegun 7.1.26)."""
    t = 1.0 / (1.0 + 0.3275911 * np.abs(x))
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1.0 - series * np.exp(-x * x))


def gelu(x: FloatArray) -> FloatArray:
    """x times the standard normal distribution function."""
    return 0.5 * x * (1.0 + erf(x * 0.7071067811865476))


def softmax(x: FloatArray) -> FloatArray:
    """Softmax over the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def layer_norm(x: FloatArray, weight: FloatArray, bias: FloatArray) -> FloatArray:
    """LayerNorm over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + NORM_EPSILON) * weight + bias


def patch_rows(image: NDArray[np.uint8], config: ModelConfig) -> FloatArray:
    """Pixels [height, width, channels] as the network sees them: [patches, patch_values].

    The values of a patch are ordered (channel, y, x). Every pixel is what it is; the machine takes code 0 for 1.
    """
    expected = (config.image_height, config.image_width, config.channels)
    if image.shape != expected or image.dtype != np.uint8:
        raise ValueError(f"{config.name} takes uint8 images of {list(expected)}, got {image.dtype}{list(image.shape)}")
    values = (image.astype(np.float64) - 128.0) * PIXEL_SCALE
    side = config.patch
    grid = values.reshape(config.patch_rows, side, config.patch_columns, side, config.channels)
    return grid.transpose(0, 2, 4, 1, 3).reshape(config.patches, config.patch_values)


class FloatModel:
    """A float model ready to run; computes in float64.

    Parameters
    ----------
    arrays: the arrays named by `float_arrays`; ValueError names one that does not fit.
    config: shape of the network.
    details: also return what calibration needs inside a MoE block, experts ascending as in ``blocks.b.experts``:
        ``blocks.b.expert_hidden`` [tokens, top_k, hidden] and ``blocks.b.expert_outputs`` [tokens, top_k, dim].
    """

    def __init__(self, arrays: Arrays, config: ModelConfig, *, details: bool = False) -> None:
        check_float_arrays(arrays, config)
        self.config = config
        self.details = details
        self._arrays = {name: np.asarray(arrays[name], dtype=np.float64) for name in float_arrays(config)}

    def run(self, image: NDArray[np.uint8], task: str) -> Tensors:
        """Every named tensor of one image (uint8 [height, width, channels]) under one task."""
        config = self.config
        dense = config.task(task).kind != "classification"
        tensors: Tensors = {}
        patches = self._linear("patch_embed", patch_rows(image, config))
        first = self._arrays["class_token"][None]
        residual = np.concatenate([first, patches]) + self._arrays["position"]
        tensors["patch_embed"] = residual
        for block in range(config.depth):
            residual = self._attention(block, residual, tensors)
            residual = (
                self._mixture(block, residual, task, tensors)
                if config.is_moe(block)
                else self._mlp(block, residual, tensors)
            )
        tensors["norm"] = self._norm("norm", residual)
        rows = tensors["norm"][1:] if dense else tensors["norm"][:1]
        tensors[f"heads.{task}"] = self._linear(f"heads.{task}", rows)
        return tensors

    def _linear(self, name: str, rows: FloatArray) -> FloatArray:
        return rows @ self._arrays[f"{name}.weight"].T + self._arrays[f"{name}.bias"]

    def _norm(self, name: str, rows: FloatArray) -> FloatArray:
        return layer_norm(rows, self._arrays[f"{name}.weight"], self._arrays[f"{name}.bias"])

    def _attention(self, block: int, residual: FloatArray, tensors: Tensors) -> FloatArray:
        """Self-attention with its residual; the key has no bias, which changes no probability."""
        config, at = self.config, f"blocks.{block}"
        rows = tensors[f"{at}.norm1"] = self._norm(f"{at}.norm1", residual)
        query = tensors[f"{at}.query"] = self._linear(f"{at}.query", rows)
        key = tensors[f"{at}.key"] = rows @ self._arrays[f"{at}.key.weight"].T
        value = tensors[f"{at}.value"] = self._linear(f"{at}.value", rows)
        q, k, v = (x.reshape(-1, config.heads, config.head_dim).swapaxes(0, 1) for x in (query, key, value))
        probabilities = softmax(q @ k.swapaxes(1, 2) / np.sqrt(config.head_dim))
        context = tensors[f"{at}.context"] = (probabilities @ v).swapaxes(0, 1).reshape(-1, config.dim)
        tensors[f"{at}.attention"] = residual + self._linear(f"{at}.proj", context)
        return tensors[f"{at}.attention"]

    def _mlp(self, block: int, residual: FloatArray, tensors: Tensors) -> FloatArray:
        at = f"blocks.{block}"
        rows = tensors[f"{at}.norm2"] = self._norm(f"{at}.norm2", residual)
        hidden = tensors[f"{at}.hidden"] = gelu(self._linear(f"{at}.fc1", rows))
        tensors[f"{at}.mlp"] = residual + self._linear(f"{at}.fc2", hidden)
        return tensors[f"{at}.mlp"]

    def _mixture(self, block: int, residual: FloatArray, task: str, tensors: Tensors) -> FloatArray:
        """Gate, top K (ties to the lower expert), then the sum of score times expert output."""
        config, at = self.config, f"blocks.{block}"
        rows = tensors[f"{at}.norm2"] = self._norm(f"{at}.norm2", residual)
        logits = tensors[f"{at}.gate"] = rows @ self._arrays[f"{at}.gate.{task}.weight"].T
        ranked = np.argsort(-logits, axis=1, kind="stable")[:, : config.top_k]
        chosen = tensors[f"{at}.experts"] = np.sort(ranked, axis=1)
        scores = np.take_along_axis(softmax(logits), chosen, axis=1)
        if config.gate_renormalise:
            scores = scores / scores.sum(axis=1, keepdims=True)
        tensors[f"{at}.expert_scores"] = scores
        hidden = np.zeros((*chosen.shape, config.expert_hidden))
        outputs = np.zeros((*chosen.shape, config.dim))
        for expert in range(config.experts):
            token, slot = np.nonzero(chosen == expert)
            hidden[token, slot] = gelu(self._expert(f"{at}.experts.fc1", expert, rows[token]))
            outputs[token, slot] = self._expert(f"{at}.experts.fc2", expert, hidden[token, slot])
        if self.details:
            tensors[f"{at}.expert_hidden"], tensors[f"{at}.expert_outputs"] = hidden, outputs
        tensors[f"{at}.moe"] = residual + (outputs * scores[:, :, None]).sum(axis=1)
        return tensors[f"{at}.moe"]

    def _expert(self, name: str, expert: int, rows: FloatArray) -> FloatArray:
        return rows @ self._arrays[f"{name}.weight"][expert].T + self._arrays[f"{name}.bias"][expert]


def run_float(arrays: Arrays, config: ModelConfig, image: NDArray[np.uint8], task: str) -> Tensors:
    """Every named tensor of one image under one task; `FloatModel` when there are many images."""
    return FloatModel(arrays, config).run(image, task)
