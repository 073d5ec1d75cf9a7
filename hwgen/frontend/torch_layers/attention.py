"""Attention of every head at once."""

# pyright: basic
# (torch is only partly typed)

import math

from torch import Tensor
from torch.nn import functional

from hwgen.frontend.torch_layers.forward import Forward
from hwgen.spec.layers import Attention


def run(forward: Forward, layer: Attention) -> None:
    """Weighted means; the scores are not kept."""

    def heads(rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (layer.heads, -1)).transpose(1, 2)

    query, key, value = (heads(forward.rows(rows)) for rows in layer.reads())
    if forward.network.readers(layer.scores, forward.task):
        first = query[:, :, :1] @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
        forward.looked[layer.scores] = first.softmax(dim=-1).mean(dim=1)[:, 0]
    context = functional.scaled_dot_product_attention(query, key, value)
    forward.tensors[layer.writes] = context.transpose(1, 2).flatten(2)
