"""Norm: every row normalised."""

from golden.reference.functions import layer_norm
from golden.reference.layers.forward import Forward
from hwgen.spec.layers import Norm


def run(forward: Forward, layer: Norm) -> None:
    """Over the columns."""
    weight, bias = (forward.arrays[f"{layer.name}.{part}"] for part in ("weight", "bias"))
    forward.tensors[layer.writes] = layer_norm(forward.rows(layer.source), weight, bias, layer.epsilon)
