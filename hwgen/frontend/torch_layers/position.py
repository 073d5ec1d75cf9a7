"""Position: the table, with the class token in row 0, for every image."""

# pyright: basic
# (torch is only partly typed)

import torch

from hwgen.frontend.torch_layers.forward import Forward
from hwgen.spec.layers import Position


def run(forward: Forward, layer: Position) -> None:
    """The residual stream begins."""
    table = forward.arrays[layer.name]
    stream = torch.cat([table[:1] + forward.arrays["class_token"], table[1:]])
    forward.tensors[layer.writes] = stream.expand(len(forward.pixels), -1, -1)
