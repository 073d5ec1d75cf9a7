"""Patches: pixels as the network sees them, a row a patch."""

import numpy as np
from numpy.typing import NDArray

from golden.reference.functions import FloatArray
from golden.reference.layers.forward import Forward
from hwgen.spec.layers import Patches

PIXEL_SCALE = 1.0 / 64.0  # the network sees (pixel - 128) / 64


def pixel_rows(image: NDArray[np.uint8], layer: Patches) -> FloatArray:
    """Pixels [height, width, channels] as [patches, patch values], the values of a patch in the order (channel, y, x).

    Every pixel is what it is; the machine takes code 0 for 1.
    """
    values = (image.astype(np.float64) - 128.0) * PIXEL_SCALE
    side = layer.patch
    grid = values.reshape(layer.height // side, side, layer.width // side, side, layer.channels)
    return grid.transpose(0, 2, 4, 1, 3).reshape(layer.rows, layer.columns)


def run(forward: Forward, layer: Patches) -> None:
    """The image cut up."""
    forward.tensors[layer.writes] = pixel_rows(forward.image, layer)
