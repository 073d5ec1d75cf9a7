"""Experts: the sum of score times output of the experts of each token."""

# pyright: basic
# (torch is only partly typed)

import torch
from torch import Tensor
from torch.nn import functional

from hwgen.frontend.torch_layers.activations import ACTIVATIONS
from hwgen.frontend.torch_layers.forward import Forward
from hwgen.spec.layers import Experts


def run(forward: Forward, layer: Experts) -> None:
    """Into the residual stream; every expert works once, on the tokens of all images that chose it."""
    gate = forward.network.writer(layer.gate.tensor, forward.task)
    _, experts, expert_scores, _ = (tensor.name for tensor in gate.tensors())
    chosen, scores = (forward.tensors[name].flatten(0, 1) for name in (experts, expert_scores))  # [tokens, top_k]
    rows, stream = forward.rows(layer.source), forward.tensors[layer.into.tensor]
    order = torch.argsort(chosen.flatten(), stable=True)  # (token, slot) pairs, expert by expert
    lengths = torch.bincount(chosen.flatten(), minlength=layer.experts).tolist()
    queues = list(rows.flatten(0, 1).index_select(0, order // layer.top_k).split(lengths))
    first, second = layer.formats()
    hidden = [ACTIVATIONS[layer.activation](found) for found in _each(forward, first, queues)]
    outputs = torch.cat(_each(forward, second, hidden))
    by_token = outputs.index_select(0, torch.argsort(order)).view(*scores.shape, layer.columns)
    added = (by_token * scores[:, :, None]).sum(dim=1)
    forward.tensors[layer.writes] = stream + added.view_as(stream)


def _each(forward: Forward, name: str, queues: list[Tensor]) -> list[Tensor]:
    """The rows of every expert's queue, [n_e, in] each, through that expert's layer: [n_e, out] each."""
    weights, biases = (forward.arrays[f"{name}.{part}"].unbind() for part in ("weight", "bias"))
    return [functional.linear(*item) for item in zip(queues, weights, biases, strict=True)]
