"""Position embeddings of other grids: what torch, timm and Hugging Face compute."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from hwgen.frontend.importers.resize import Grid, resized

GRIDS: list[tuple[Grid, Grid]] = [
    ((14, 14), (16, 16)),
    ((14, 14), (7, 9)),
    ((37, 37), (16, 16)),
    ((4, 4), (1, 1)),
    ((1, 1), (3, 2)),
    ((3, 5), (5, 3)),
    ((2, 2), (24, 24)),
    ((1, 6), (1, 11)),
]


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_it_is_what_torch_computes(old: Grid, new: Grid, antialias: bool) -> None:
    """timm's call with antialiasing, Hugging Face's without: bicubic, corners not aligned."""
    table = np.random.default_rng(0).normal(size=(old[0] * old[1], 5)).astype(np.float32)
    grid = torch.from_numpy(table).reshape(1, *old, 5).permute(0, 3, 1, 2)
    there = functional.interpolate(grid, size=new, mode="bicubic", antialias=antialias, align_corners=False)
    wanted = there.permute(0, 2, 3, 1).reshape(-1, 5).numpy()
    found = resized(table, old, new, antialias=antialias)
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() < 1e-5


def test_the_same_grid_is_left_alone() -> None:
    table = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
    assert resized(table, (3, 4), (3, 4), antialias=True) is table
    for antialias in (True, False):
        constant = resized(np.ones((9, 2), dtype=np.float32), (3, 3), (7, 2), antialias=antialias)
        assert np.allclose(constant, 1)
    smaller = [resized(table, (3, 4), (2, 2), antialias=antialias) for antialias in (True, False)]
    assert np.abs(smaller[0] - smaller[1]).max() > 0.1
