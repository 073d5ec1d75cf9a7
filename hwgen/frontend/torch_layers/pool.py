"""Pool: the mean of rows, image by image."""

# pyright: basic
# (torch is only partly typed)

from hwgen.frontend.torch_layers.forward import Forward
from hwgen.spec.layers import Pool


def run(forward: Forward, layer: Pool) -> None:
    """One row."""
    forward.tensors[layer.writes] = forward.rows(layer.source).mean(dim=1, keepdim=True)
