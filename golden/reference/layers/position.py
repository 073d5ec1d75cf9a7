"""Position: the table, with the class token in row 0."""

from golden.reference.layers.forward import Forward
from hwgen.spec.layers import Position


def run(forward: Forward, layer: Position) -> None:
    """The residual stream begins."""
    stream = forward.arrays[layer.name].copy()
    stream[0] += forward.arrays["class_token"]
    forward.tensors[layer.writes] = stream
