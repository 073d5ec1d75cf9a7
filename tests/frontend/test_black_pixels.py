"""Pixels of code 0: the float model sees them, the machine and calibration take them for 1, and a warning says so."""

import numpy as np
import pytest

from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from golden.reference.scenes import HELD_OUT_FIRST_SEED, draw_scene
from hwgen.frontend.black_pixels import BLACK_SHARE, black_share, black_warnings
from hwgen.frontend.calibration import calibrate
from hwgen.frontend.store import load_float, load_model
from tests.frontend.shapes import SMALL


def _picture(zeros: int, values: int = 1000) -> np.ndarray:
    picture = np.full(values, 1, np.uint8)
    picture[:zeros] = 0
    return picture.reshape(-1, 10, 1)


def _darkened(share: float) -> np.ndarray:
    """A scene so dark that this share of its values is 0; none at all for share 0."""
    image = draw_scene(HELD_OUT_FIRST_SEED).image
    if share == 0.0:
        return np.maximum(image, 1)
    return np.maximum(image.astype(np.int64) - int(np.quantile(image, share)), 0).astype(np.uint8)


def _patch_ratio(image: np.ndarray, seen: np.ndarray) -> float:
    """Decibels of golden's patch rows on ``image`` against the float model's on ``seen``."""
    package = load_model("m3vit-micro")
    real = FloatModel(load_float("m3vit-micro"), package.config).run(seen, "seg")["patch_embed"]
    golden = run_network(package, image, "seg")["patch_embed"] * package.scales["patch_embed"]
    return float(10 * np.log10(np.square(real).sum() / np.square(golden - real).sum()))


def test_golden_cannot_tell_code_0_from_1_and_the_float_model_can() -> None:
    package, model = load_model("m3vit-micro"), FloatModel(load_float("m3vit-micro"), load_model("m3vit-micro").config)
    dark = _darkened(0.1)
    lifted = np.maximum(dark, 1)
    assert black_share(dark) > 0.09 > black_share(lifted) == 0.0
    for task in ("seg", "depth"):
        one, other = (run_network(package, image, task) for image in (dark, lifted))
        assert all(np.array_equal(one[name], other[name]) for name in one)
        assert not np.allclose(model.run(dark, task)["patch_embed"], model.run(lifted, task)["patch_embed"], atol=1e-6)


def test_ratios_show_what_black_pixels_cost() -> None:
    """More than a decibel at 10 %, next to nothing without them."""
    bright, dark = _darkened(0.0), _darkened(0.1)
    assert _patch_ratio(bright, bright) == pytest.approx(_patch_ratio(bright, np.maximum(bright, 1)))
    assert _patch_ratio(dark, np.maximum(dark, 1)) - _patch_ratio(dark, dark) > 1.0


def test_calibration_sees_pixels_as_the_machine_does() -> None:
    from hwgen.frontend.seeded import seeded_float

    shape = (SMALL.image_height, SMALL.image_width, SMALL.channels)
    dark = np.random.default_rng(3).integers(0, 3, shape, dtype=np.uint8)
    arrays = seeded_float(SMALL, 1)
    found, same = (calibrate(arrays, SMALL, [image]) for image in (dark, np.maximum(dark, 1)))
    assert found.residual_max == same.residual_max
    assert np.array_equal(found.means["patch_embed"], same.means["patch_embed"])
    assert found.means["patch_embed"].min() >= -127 / 64
    assert all(np.array_equal(found.samples[name], same.samples[name]) for name in found.samples)


def test_a_share_above_the_limit_is_warned_of() -> None:
    limit = round(BLACK_SHARE * 1000)
    assert black_warnings([_picture(limit), _picture(0)], "pictures") == []
    assert black_warnings([], "pictures") == []
    (said,) = black_warnings([_picture(limit + 1), _picture(0), _picture(263)], "calibration pictures")
    assert said.startswith("2 of 3 calibration pictures: more than 2 % of the pixel values are 0, which the machine")
    assert "most in picture 3: 26.3 %, 263 values." in said
