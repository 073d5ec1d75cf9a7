"""Position: the table, with the class token in row 0 where there is one, for every image."""

# pyright: basic
# (torch is only partly typed)

import torch

from hwgen.frontend.torch_layers.forward import Forward
from hwgen.spec.layers import CLASS_TOKEN, Position


def run(forward: Forward, layer: Position) -> None:
    """The residual stream begins."""
    stream = forward.arrays[layer.name]
    if layer.class_token:
        stream = torch.cat([stream[:1] + forward.arrays[CLASS_TOKEN], stream[1:]])
    forward.tensors[layer.writes] = stream.expand(len(forward.pixels), -1, -1)
