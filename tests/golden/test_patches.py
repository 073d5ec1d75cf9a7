"""Pixels to patch rows."""

import numpy as np
import pytest

from golden.patches import centre_pixels, patch_rows


def test_every_pixel_value():
    assert centre_pixels(np.arange(256, dtype=np.uint8)).tolist() == [-127, *range(-127, 128)]


def test_order_is_channel_row_column():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6, 12, 3), dtype=np.uint8)
    rows = patch_rows(image, 3)
    assert rows.shape == (8, 27)
    compared = 0
    for row in range(2):
        for column in range(4):
            for channel in range(3):
                for y in range(3):
                    for x in range(3):
                        pixel = int(image[row * 3 + y, column * 3 + x, channel])
                        assert rows[row * 4 + column, channel * 9 + y * 3 + x] == max(pixel - 128, -127)
                        compared += 1
    assert compared == image.size


def test_refuses_a_partial_patch():
    with pytest.raises(ValueError, match="10x12 is not a multiple of patch 3"):
        patch_rows(np.zeros((10, 12, 3), np.uint8), 3)
