"""Experts: the sum of score times output of the experts of each token."""

import numpy as np

from golden.reference.functions import ACTIVATIONS, FloatArray
from golden.reference.layers.forward import Forward
from hwgen.spec.layers import Experts


def run(forward: Forward, layer: Experts) -> None:
    """Into the residual stream."""
    gate = forward.network.writer(layer.gate.tensor, forward.task)
    _, experts, expert_scores, _ = (tensor.name for tensor in gate.tensors())
    chosen, scores, rows = forward.tensors[experts], forward.tensors[expert_scores], forward.rows(layer.source)
    first, second = layer.formats()
    activation = ACTIVATIONS[layer.activation]
    hidden = np.zeros((*chosen.shape, layer.hidden))
    outputs = np.zeros((*chosen.shape, layer.columns))
    for expert in range(layer.experts):
        token, slot = np.nonzero(chosen == expert)
        hidden[token, slot] = activation(_expert(forward, first, expert, rows[token]))
        outputs[token, slot] = _expert(forward, second, expert, hidden[token, slot])
    if forward.details:
        inner, outer = layer.observed
        forward.tensors[inner], forward.tensors[outer] = hidden, outputs
    stream = forward.tensors[layer.into.tensor]
    forward.tensors[layer.writes] = stream + (outputs * scores[:, :, None]).sum(axis=1)


def _expert(forward: Forward, name: str, expert: int, rows: FloatArray) -> FloatArray:
    weight, bias = (forward.arrays[f"{name}.{part}"][expert] for part in ("weight", "bias"))
    return rows @ weight.T + bias
