"""Position: the table as it is."""

from golden.layers.forward import Forward
from hwgen.spec.layers import Position


def run(forward: Forward, layer: Position) -> None:
    """The residual stream begins."""
    forward.tensors[layer.writes] = forward.get(layer.name)
