"""Patches: pixels minus 128, a row a patch."""

from golden.layers.forward import Forward
from golden.patches import patch_rows
from hwgen.spec.layers import Patches


def run(forward: Forward, layer: Patches) -> None:
    """The image cut up."""
    forward.tensors[layer.writes] = patch_rows(forward.image, layer.patch)
