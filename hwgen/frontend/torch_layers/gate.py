"""Gates: the experts of every token, their scores, and how evenly they are chosen."""

# pyright: basic
# (torch is only partly typed)

import torch
from torch import Tensor
from torch.nn import functional

from hwgen.frontend.torch_layers.forward import Forward
from hwgen.spec.layers import Gate, Linear


def choose(forward: Forward, layer: Linear, finish: Gate) -> None:
    """Softmax over all experts, then the top K; their scores add up to one only where the gate says so."""
    logits, experts, expert_scores, _ = (tensor.name for tensor in layer.tensors())
    values = forward.tensors[logits]
    if forward.training and forward.gate_noise > 0.0:
        values = values + forward.gate_noise * torch.randn_like(values)
    probabilities = values.softmax(dim=-1)
    chosen = probabilities.detach().topk(finish.top_k, dim=-1).indices
    picks = functional.one_hot(chosen, layer.outputs)  # [batch, rows, top_k, experts]
    scores = (probabilities[..., None, :] * picks).sum(dim=-1)
    if forward.training:
        forward.balances.append(_balance_loss(probabilities, picks))
    if finish.renormalise:
        scores = scores / scores.sum(dim=-1, keepdim=True)
    forward.tensors[experts], forward.tensors[expert_scores] = chosen, scores


def _balance_loss(probabilities: Tensor, picks: Tensor) -> Tensor:
    """Experts times the sum of load times mean probability: one when perfectly balanced."""
    top_k, experts = picks.shape[-2:]
    load = picks.sum(dim=-2).float().mean(dim=(0, 1)) / top_k
    return experts * (load * probabilities.mean(dim=(0, 1))).sum()
