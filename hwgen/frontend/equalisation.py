"""What equalising the LayerNorms of a float model changed, kept so that an export can put it right again.

`hwgen.frontend.calibration.equalise` divides the output channels of every LayerNorm by factors and multiplies the
columns of the next weights by them. The function stays the same; the weights are no longer those of the checkpoint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.frontend.scaling import FloatArray
from hwgen.spec.graph_model import Model
from hwgen.spec.layers import Experts, Layer, Linear, Norm, Pool

EQUALISATION = "equalisation"  # entry of the provenance: LayerNorm -> factor of every channel
Arrays = Mapping[str, FloatArray]
Factors = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Reach:
    """How far the channels of a LayerNorm go as they are."""

    weights: Mapping[str, int]  # linear layers whose weights have them as columns, as often as rows lie side by side
    tensors: tuple[str, ...]  # behind it: a mean of rows has the same channels


def norms_of(config: Model) -> dict[Norm, Reach]:
    """Every LayerNorm, and who takes its channels."""
    layers = config.network.layers
    return {norm: _reach(layers, norm.writes) for norm in layers if isinstance(norm, Norm)}


def _reach(layers: Sequence[Layer], tensor: str) -> Reach:
    weights: dict[str, int] = {}
    tensors: dict[str, None] = {}
    for layer in layers:
        if isinstance(layer, Linear) and layer.source.tensor == tensor:
            weights[layer.name] = layer.beside
        elif isinstance(layer, Experts) and layer.source.tensor == tensor:
            weights[next(iter(layer.formats()))] = 1
        elif isinstance(layer, Pool) and layer.source.tensor == tensor:
            behind = _reach(layers, layer.writes)
            weights |= behind.weights
            tensors |= dict.fromkeys((layer.writes, *behind.tensors))
    return Reach(weights, tuple(tensors))


def equalisation_factors(before: Arrays, after: Arrays, config: Model) -> Factors:
    """What each LayerNorm channel was divided by between two versions of one float model, to seven digits."""
    factors: dict[str, list[float]] = {}
    for norm in (layer.name for layer in norms_of(config)):
        ratio = np.ones(len(after[f"{norm}.weight"]))
        for part in ("bias", "weight"):  # the weight decides, the bias where the weight is zero
            old, new = (np.asarray(arrays[f"{norm}.{part}"], dtype=np.float64) for arrays in (before, after))
            ratio = np.divide(old, new, out=ratio, where=(new != 0.0) & (old != 0.0))
        factors[norm] = [_short(float(value)) for value in ratio]
    return factors


def without_equalisation(arrays: Arrays, config: Model, factors: Factors) -> dict[str, FloatArray]:
    """The same function with the channels of every LayerNorm as they were before they were equalised."""
    found = dict(arrays)
    for layer, reach in norms_of(config).items():
        norm = layer.name
        if norm not in factors:
            continue
        factor = np.asarray(factors[norm], dtype=np.float64)
        for part in ("weight", "bias"):
            found[f"{norm}.{part}"] = (found[f"{norm}.{part}"] * factor).astype(np.float32)
        for reader, times in reach.weights.items():
            weight = f"{reader}.weight"
            found[weight] = (found[weight] / np.tile(factor, times)).astype(np.float32)
    return found


def combined(first: Factors, then: Factors) -> Factors:
    """Factors of two equalisations, one after the other."""
    both = {norm: [a * b for a, b in zip(first[norm], then[norm], strict=True)] for norm in then if norm in first}
    return {**then, **{norm: [_short(value) for value in values] for norm, values in both.items()}}


def _short(value: float) -> float:
    """Seven digits, which are all that float32 has."""
    return float(f"{value:.7g}")
