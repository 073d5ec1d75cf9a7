"""Images with the statistics of photographs: overlapping leaves of every size (Lee, Mumford, Huang 2001), and grain.

And photographs: cuts of the two sample pictures of scikit-learn.
"""

# pyright: basic
# (scikit-learn is only partly typed)

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEAVES = 400


def _grain(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Noise whose amplitude falls with frequency, deviation one."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    spectrum = (rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)) / frequency**0.9
    noise = np.fft.irfft2(spectrum, s=(height, width))
    return noise / noise.std()


def leaves_image(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """One image [height, width, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    pixels = np.zeros((height, width, 3))
    mean, contrast = rng.uniform(40, 150), rng.uniform(30, 75)
    for _ in range(LEAVES):
        radius = min(3.0 / np.sqrt(1.0 - rng.random()), height)
        row, column = rng.uniform(-radius, height + radius), rng.uniform(-radius, width + radius)
        angle, flat = rng.uniform(0, np.pi), rng.uniform(0.1, 1.0)
        along = (y - row) * np.sin(angle) + (x - column) * np.cos(angle)
        across = (y - row) * np.cos(angle) - (x - column) * np.sin(angle)
        if rng.random() < 0.5:
            inside = along**2 + across**2 < radius**2
        else:
            inside = (np.abs(along) < radius) & (np.abs(across) < flat * radius)
        pixels[inside] = rng.normal(mean, contrast) + rng.normal(0, contrast / 4, 3)
    pixels += _grain(rng, height, width)[..., None] * contrast * rng.uniform(0.1, 0.5)
    pixels += rng.normal(0, rng.uniform(1, 8), pixels.shape)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def photographs(height: int, width: int) -> list[np.ndarray]:
    """Two pictures of 640 x 427 pixels, cut into whole images of this size."""
    from sklearn.datasets import load_sample_images  # here: leaves need none of it

    found: Any = load_sample_images()
    return [cut for picture in found.images for cut in cuts(picture, height, width)]


def cuts(picture: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """Whole images side by side, from the upper left corner on; once more of the picture at half its size."""
    half = np.asarray(Image.fromarray(picture).reduce(2))
    return [
        np.ascontiguousarray(source[top : top + height, left : left + width])
        for source in (picture, half)
        for top in range(0, source.shape[0] - height + 1, height)
        for left in range(0, source.shape[1] - width + 1, width)
    ]
