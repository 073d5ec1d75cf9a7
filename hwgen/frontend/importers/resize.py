"""Position embeddings for images of another size: bicubic interpolation of their grid, as torch computes it."""

from dataclasses import dataclass

import numpy as np

from hwgen.frontend.scaling import FloatArray

Grid = tuple[int, int]  # rows, columns of patches
_PLAIN, _ANTIALIASED = -0.75, -0.5  # torch's parameter of the cubic, without and with antialiasing
_SUPPORT = 2.0  # the cubic is zero beyond


@dataclass(frozen=True, kw_only=True)
class Resizing:
    """How a framework makes the position embedding of a grid that of another: always bicubic."""

    antialias: bool
    by: str  # who computes it so

    def __str__(self) -> str:
        """For the user."""
        return f"bicubic, {'' if self.antialias else 'not '}antialiased, as {self.by} does it"


TIMM = Resizing(antialias=True, by="timm")  # resample_abs_pos_embed


def _cubic(x: FloatArray, a: float) -> FloatArray:
    """Keys' cubic convolution kernel."""
    x = np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    return np.where(x <= 1.0, near, np.where(x < _SUPPORT, far, 0.0))


def _weights(old: int, new: int, *, antialias: bool) -> FloatArray:
    """What every old point counts for every new one, [new, old]; rows sum to one.

    Beyond the edge the plain form repeats the last point; the antialiased one has nothing there, and widens its kernel
    when points become fewer.
    """
    scale = old / new
    weights = np.zeros((new, old))
    if antialias:
        width = max(scale, 1.0)
        for index in range(new):
            centre = scale * (index + 0.5)
            first = max(int(centre - _SUPPORT * width + 0.5), 0)
            last = min(int(centre + _SUPPORT * width + 0.5), old)
            weights[index, first:last] = _cubic((np.arange(first, last) - centre + 0.5) / width, _ANTIALIASED)
        return weights / weights.sum(axis=1, keepdims=True)
    for index in range(new):
        centre = scale * (index + 0.5) - 0.5
        taps = np.floor(centre) + np.arange(-1, 3)
        columns = np.clip(taps, 0, old - 1).astype(int)
        np.add.at(weights[index], columns, _cubic(taps - centre, _PLAIN))
    return weights


def resized(table: FloatArray, old: Grid, new: Grid, *, antialias: bool) -> FloatArray:
    """Position embedding [rows * columns, dim] of a grid as that of another grid, float32.

    ``antialias`` is of the framework that the network comes from (`Resizing`). The same grid gives the same numbers.
    """
    if old == new:
        return table
    rows, columns = (_weights(a, b, antialias=antialias) for a, b in zip(old, new, strict=True))
    grid = table.astype(np.float64).reshape(*old, -1)
    return (
        np.einsum("yh,xw,hwc->yxc", rows, columns, grid, optimize=True).reshape(-1, table.shape[1]).astype(np.float32)
    )
