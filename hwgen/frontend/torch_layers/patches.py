"""Patches: pixels as the network sees them, a row a patch."""

# pyright: basic
# (torch is only partly typed)

from golden.reference.layers.patches import PIXEL_SCALE
from hwgen.frontend.torch_layers.forward import Forward
from hwgen.spec.layers import Patches


def run(forward: Forward, layer: Patches) -> None:
    """The images cut up; the values of a patch in the order (channel, y, x)."""
    values = (forward.pixels.float() - 128.0) * PIXEL_SCALE
    side, channels = layer.patch, layer.channels
    grid = values.view(-1, layer.height // side, side, layer.width // side, side, channels)
    forward.tensors[layer.writes] = grid.permute(0, 1, 3, 5, 2, 4).reshape(-1, layer.rows, layer.columns)
