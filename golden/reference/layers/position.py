"""Position: the table, with the class token in row 0 where there is one."""

from golden.reference.layers.forward import Forward
from hwgen.spec.layers import CLASS_TOKEN, Position


def run(forward: Forward, layer: Position) -> None:
    """The residual stream begins."""
    stream = forward.arrays[layer.name].copy()
    if layer.class_token:
        stream[0] += forward.arrays[CLASS_TOKEN]
    forward.tensors[layer.writes] = stream
