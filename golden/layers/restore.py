"""Restore: every row as it was when it was last worked on."""

from golden.layers.forward import Forward
from hwgen.spec.layers import Restore


def run(forward: Forward, layer: Restore) -> None:
    """The rows that went on go back to where they were."""
    stream, positions = forward.rows(layer.before).copy(), forward.tensors[layer.kept.tensor]
    stream[positions] = forward.rows(layer.source)[: len(positions)]
    forward.tensors[layer.writes] = stream
