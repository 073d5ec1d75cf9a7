"""Norm: every row normalised, or as it is."""

from golden.reference.functions import layer_norm
from golden.reference.layers.forward import Forward
from hwgen.spec.layers import Norm


def run(forward: Forward, layer: Norm) -> None:
    """Over the columns."""
    weight, bias = (forward.arrays[f"{layer.name}.{part}"] for part in ("weight", "bias"))
    rows = forward.rows(layer.source)
    forward.tensors[layer.writes] = (
        rows * weight + bias if layer.plain else layer_norm(rows, weight, bias, layer.epsilon)
    )
