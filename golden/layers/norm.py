"""Norm: every row normalised, or as it is; the machine makes only the rows that somebody reads."""

from golden.layernorm import affine, layernorm
from golden.layers.forward import Forward
from hwgen.spec.layers import Norm


def run(forward: Forward, layer: Norm) -> None:
    """int16 to int8."""
    parts = (forward.get(f"{layer.name}.{part}") for part in ("gain", "offset", "shift"))
    rows = forward.rows(layer.source)
    if layer.plain:
        forward.tensors[layer.writes] = affine(rows, *parts)
    else:
        forward.tensors[layer.writes] = layernorm(forward.table("rsqrt"), rows, *parts)
