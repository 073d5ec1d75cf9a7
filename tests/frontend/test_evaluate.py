"""Mean IoU, RMSE and the pixel order of dense heads."""

import numpy as np
import pytest

from golden.predict import class_map
from hwgen.frontend.evaluate import mean_iou, rmse, to_pixels
from hwgen.spec.model import TaskConfig
from tests.frontend.shapes import SMALL


def test_mean_iou_by_hand() -> None:
    truth = np.array([[0, 0, 1], [1, 2, 2]])
    predicted = np.array([[0, 1, 1], [1, 2, 0]])
    # class 0: 1 of 3; class 1: 2 of 3; class 2: 1 of 2; class 3 does not occur
    assert mean_iou(predicted, truth, 4) == pytest.approx((1 / 3 + 2 / 3 + 1 / 2) / 3)
    assert mean_iou(truth, truth, 4) == 1.0


def test_rmse_by_hand() -> None:
    assert rmse(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == pytest.approx(np.sqrt(2.0))


@pytest.mark.parametrize("cell", [1, 2, 8])
def test_pixels_are_those_of_the_golden_prediction(cell: int) -> None:
    task = TaskConfig(name="seg", kind="segmentation", classes=3, cell=cell)
    codes = np.random.default_rng(cell).integers(-99, 99, (SMALL.patches, task.outputs))
    labels = to_pixels(codes, SMALL, task).argmax(axis=-1)
    assert labels.shape == (SMALL.image_height, SMALL.image_width)
    assert np.array_equal(labels, class_map(SMALL, task, codes))
    assert len(np.unique(labels)) == 3
