"""Select: the rows that go on, image by image."""

# pyright: basic
# (torch is only partly typed)

import torch
from torch import Tensor

from hwgen.frontend.torch_layers.forward import Forward
from hwgen.spec.layers import Select


def run(forward: Forward, layer: Select) -> None:
    """The choice has no gradient; what is fused has one through its weights."""
    stream, found = forward.rows(layer.source), forward.looked[layer.scores.tensor]
    others = found[:, layer.prefix :].argsort(dim=1, descending=True, stable=True)[:, : layer.keep] + layer.prefix
    first = torch.arange(layer.prefix).expand(len(stream), -1)
    chosen = torch.cat([first, others.sort(dim=1).values], dim=1)
    rows = stream.gather(1, _wide(chosen, stream))
    if layer.fuse:
        dropped = found.scatter(1, chosen, 0.0)
        rows = torch.cat([rows, dropped[:, None] @ stream], dim=1)
    forward.tensors[layer.importance], forward.tensors[layer.kept] = found, chosen
    forward.tensors[layer.writes] = rows


def _wide(positions: Tensor, stream: Tensor) -> Tensor:
    """Positions [batch, rows] for every column of a stream."""
    return positions[..., None].expand(-1, -1, stream.shape[-1])
