"""Restore: every row as it was when it was last worked on."""

# pyright: basic
# (torch is only partly typed)

from hwgen.frontend.torch_layers.forward import Forward
from hwgen.spec.layers import Restore


def run(forward: Forward, layer: Restore) -> None:
    """The rows that went on go back to where they were."""
    positions = forward.tensors[layer.kept.tensor]
    back = forward.rows(layer.source)[:, : positions.shape[1]]
    forward.tensors[layer.writes] = forward.rows(layer.before).scatter(1, positions[..., None].expand_as(back), back)
