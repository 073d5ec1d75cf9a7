"""Linear, and its finish."""

import numpy as np

from golden.reference.functions import ACTIVATIONS, FloatArray, softmax
from golden.reference.layers.forward import Forward
from hwgen.spec.layers import Gate, Gelu, Linear, Residual


def run(forward: Forward, layer: Linear) -> None:
    """Sums, then what the finish says."""
    rows = forward.rows(layer.source).reshape(layer.rows, layer.inputs)
    sums = rows @ forward.arrays[f"{layer.name}.weight"].T
    if layer.bias == "used":
        sums = sums + forward.arrays[f"{layer.name}.bias"]
    finish = layer.finish
    if isinstance(finish, Gelu):
        sums = ACTIVATIONS[finish.function](sums)
    elif isinstance(finish, Residual):
        sums = _added(forward, finish, sums)
    forward.tensors[layer.writes] = sums
    if isinstance(finish, Gate):
        _choose(forward, layer, finish)


def _added(forward: Forward, finish: Residual, sums: FloatArray) -> FloatArray:
    """The residual stream with ``sums`` added to some of its rows."""
    stream = forward.tensors[finish.into.tensor].copy()
    first, count = finish.into.first, len(sums)
    stream[first : first + count] += sums
    return stream


def _choose(forward: Forward, layer: Linear, finish: Gate) -> None:
    """Top K (ties to the lower expert) and their scores, experts ascending."""
    logits, experts, expert_scores, _ = (tensor.name for tensor in layer.tensors())
    values = forward.tensors[logits]
    ranked = np.argsort(-values, axis=1, kind="stable")[:, : finish.top_k]
    chosen = np.sort(ranked, axis=1)
    scores = np.take_along_axis(softmax(values), chosen, axis=1)
    if finish.renormalise:
        scores = scores / scores.sum(axis=1, keepdims=True)
    forward.tensors[experts], forward.tensors[expert_scores] = chosen, scores
