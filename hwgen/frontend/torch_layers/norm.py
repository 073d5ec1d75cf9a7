"""Norm: every row normalised, or as it is."""

# pyright: basic
# (torch is only partly typed)

from torch.nn import functional

from hwgen.frontend.torch_layers.forward import Forward
from hwgen.spec.layers import Norm


def run(forward: Forward, layer: Norm) -> None:
    """Over the columns."""
    weight, bias = (forward.arrays[f"{layer.name}.{part}"] for part in ("weight", "bias"))
    rows = forward.rows(layer.source)
    forward.tensors[layer.writes] = (
        rows * weight + bias
        if layer.plain
        else functional.layer_norm(rows, (layer.columns,), weight, bias, layer.epsilon)
    )
