"""Pixels to patch rows."""

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.numerics import DARKEST_PIXEL
from hwgen.spec.tables import Int64Array


def centre_pixels(pixels: NDArray[np.uint8]) -> Int64Array:
    """int8 codes of pixels: ``max(p, 1) - 128``."""
    return np.maximum(pixels.astype(np.int64), DARKEST_PIXEL) - 128


def patch_rows(image: NDArray[np.uint8], patch: int) -> Int64Array:
    """Patches in raster order, each a row in the order (channel, y, x), of an image [H, W, channels]."""
    height, width, channels = image.shape
    if height % patch or width % patch:
        raise ValueError(f"image {height}x{width} is not a multiple of patch {patch}")
    tiles = centre_pixels(image).reshape(height // patch, patch, width // patch, patch, channels)
    return tiles.transpose(0, 2, 4, 1, 3).reshape(-1, channels * patch * patch)
