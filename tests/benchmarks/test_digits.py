"""A classifier that was trained elsewhere keeps its answers: import under timm's names, float against golden."""

from pathlib import Path

import numpy as np
import pytest

from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.importers.checkpoint import read_checkpoint
from hwgen.frontend.importers.convert import convert
from hwgen.frontend.importers.imported import ImportOptions
from hwgen.frontend.importers.timm import import_timm

digits = pytest.importorskip("benchmarks.digits", reason="needs torch and scikit-learn")
MOST_LOST = 0.005  # of the pictures: half a point


def test_top_1_of_held_out_digits(tmp_path: Path) -> None:
    learned, held_out = digits.digits()
    assert (len(learned.images), len(held_out.images)) == (1437, 360)
    path = tmp_path / "checkpoint.npz"
    digits.save_checkpoint(digits.trained(learned, epochs=6), path)
    options = ImportOptions(name="digits", heads=digits.CONFIG.heads)
    imported = import_timm(read_checkpoint(path), options)
    assert imported.config.network == digits.CONFIG.network
    converted = convert(imported, list(learned.images[: digits.CALIBRATION]), {})
    model = FloatModel(imported.arrays, imported.config)
    hits = np.zeros(2, dtype=int)
    for image, label in zip(held_out.images, held_out.labels, strict=True):
        real = model.run(image, "class")["heads.class"]
        found = run_network(converted.package, image, "class")["heads.class"]
        hits += [int(answer.argmax()) == label for answer in (real, found)]
    share = hits / len(held_out.images)
    print(f"top-1 of {len(held_out.images)} digits: float {share[0]:.1%}, golden {share[1]:.1%}")
    assert share[0] > 0.85
    assert share[1] >= share[0] - MOST_LOST
