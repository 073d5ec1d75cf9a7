"""Norm: every row normalised; the machine makes only the rows that somebody reads."""

from golden.layernorm import layernorm
from golden.layers.forward import Forward
from hwgen.spec.layers import Norm


def run(forward: Forward, layer: Norm) -> None:
    """int16 to int8."""
    parts = (forward.get(f"{layer.name}.{part}") for part in ("gain", "offset", "shift"))
    forward.tensors[layer.writes] = layernorm(forward.table("rsqrt"), forward.rows(layer.source), *parts)
