"""Head codes to pictures."""

import numpy as np
import pytest

from golden.predict import class_index, class_map, depth_map
from tests.golden.random_package import MINI

SEG, DEPTH, CLASS = MINI.tasks  # patch 8: cell 4 is repeated twice, cell 8 once


def test_class_map_of_every_pixel():
    codes = np.random.default_rng(0).integers(-3, 4, (MINI.patches, SEG.outputs))
    found = class_map(MINI, SEG, codes)
    assert found.shape == (16, 24)
    for y in range(16):
        for x in range(24):
            token = (y // 8) * 3 + x // 8
            at = ((y % 8 // 2) * 4 + x % 8 // 2) * 3
            values = codes[token, at : at + 3].tolist()
            assert found[y, x] == values.index(max(values))
    assert set(np.unique(found)) == {0, 1, 2}


def test_depth_map_of_every_pixel():
    codes = np.random.default_rng(1).integers(-30000, 30000, (MINI.patches, DEPTH.outputs))
    found = depth_map(MINI, DEPTH, codes, 0.25)
    for y in range(16):
        for x in range(24):
            assert found[y, x] == codes[(y // 8) * 3 + x // 8, (y % 8) * 8 + x % 8] * 0.25


def test_class_index_takes_the_first_of_equals():
    assert class_index(CLASS, np.array([[-5, 2, 9, 9, 0, 0, 0]])) == 2


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"codes \[6, 48\] of a dense task, got \[5, 48\]"):
        class_map(MINI, SEG, np.zeros((5, 48)))
    with pytest.raises(ValueError, match=r"\(classification\)"):
        class_map(MINI, CLASS, np.zeros((1, 7)))
    with pytest.raises(ValueError, match=r"takes codes \[1, 7\]"):
        class_index(CLASS, np.zeros((2, 7)))
    with pytest.raises(ValueError, match="one value per sub-cell, got 3"):
        depth_map(MINI, SEG, np.zeros((6, 48)), 1.0)
