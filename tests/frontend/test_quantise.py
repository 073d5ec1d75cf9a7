"""The quantiser: exact transformations, fidelity of every tensor, and the loss of quality on held-out scenes."""

from collections.abc import Callable

import numpy as np
import pytest

from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from golden.reference.scenes import HELD_OUT_FIRST_SEED, draw_scene, draw_scenes
from hwgen.frontend.calibration import calibrate, equalise
from hwgen.frontend.evaluate import float_quality, integer_quality
from hwgen.frontend.quantise import quantise
from hwgen.frontend.ranges import Ranges
from hwgen.frontend.seeded import calibration_images, seeded_calibrated, seeded_float
from hwgen.frontend.store import load_float, load_model
from hwgen.spec.numerics import MAX_BIAS, MAX_SHIFT
from hwgen.spec.package import QuantisedModel
from hwgen.spec.presets import M3VIT_MICRO
from tests.frontend.shapes import SMALL, noise_image

LOSS_SCENES = 24


def _signal_to_noise(real: np.ndarray, reference: np.ndarray) -> float:
    """Decibels."""
    return 10 * np.log10(np.square(reference).mean() / np.square(real - reference).mean())


def test_equalising_changes_the_spans_and_not_the_function() -> None:
    images = [noise_image(SMALL, seed) for seed in range(3)]
    arrays = seeded_float(SMALL, seed=1)
    arrays["blocks.0.norm2.weight"] *= np.linspace(0.1, 4.0, SMALL.dim, dtype=np.float32)
    equal, expected = equalise(arrays, SMALL, calibrate(arrays, SMALL, images))
    for task in SMALL.tasks:
        before = FloatModel(arrays, SMALL).run(images[0], task.name)
        after = FloatModel(equal, SMALL).run(images[0], task.name)
        for name in ("blocks.0.gate", "blocks.1.query", "blocks.2.moe", f"heads.{task.name}"):
            np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-4)
    found = calibrate(equal, SMALL, images)
    spans = np.abs(found.samples["blocks.0.norm2"]).max(axis=0)
    np.testing.assert_allclose(spans, spans.mean(), rtol=1e-4)
    np.testing.assert_allclose(found.samples["blocks.0.norm2"], expected.samples["blocks.0.norm2"], atol=1e-4)


def test_every_tensor_of_a_seeded_network_follows_the_float_model() -> None:
    arrays, calibration = seeded_calibrated(SMALL, seed=3)
    package = quantise(arrays, SMALL, calibration)
    image = draw_scene(17, height=SMALL.image_height, width=SMALL.image_width).image
    reference = FloatModel(arrays, SMALL).run(image, "seg")
    found = run_network(package, image, "seg")
    compared = 0
    for name in ("patch_embed", "blocks.0.norm1", "blocks.0.query", "blocks.0.key", "blocks.0.value",
                 "blocks.0.context", "blocks.0.attention", "blocks.0.norm2", "blocks.0.gate"):  # fmt: skip
        assert _signal_to_noise(found[name] * package.scales[name], reference[name]) > 25, name
        compared += 1
    assert compared == 9
    assert found["blocks.0.scores"].std() > 10


def test_arrays_stay_inside_the_formats() -> None:
    package = load_model("m3vit-micro")
    checked = 0
    for name, array in package.arrays.items():
        if name.endswith(".weight"):
            assert array.min() >= -127, name
        elif name.endswith(".bias"):
            assert np.abs(array.astype(np.int64)).max() <= MAX_BIAS, name
        elif name.endswith("mult"):
            assert array.min() >= 2**15, name
        elif name.endswith("shift"):
            assert array.max() <= (30 if ".context." in name else MAX_SHIFT), name
        else:
            continue
        checked += 1
    assert checked > 150
    assert not any(package.arrays[f"blocks.{block}.key.bias"].any() for block in range(M3VIT_MICRO.depth))


def test_large_scores_are_recentred() -> None:
    arrays = seeded_float(SMALL, seed=1)
    arrays["blocks.0.query.bias"] += 4.0
    arrays["blocks.0.key.weight"] = np.abs(arrays["blocks.0.key.weight"])
    arrays["blocks.0.norm1.bias"] += 1.0  # every key looks along the query bias: scores far above zero
    image = noise_image(SMALL)
    package = quantise(arrays, SMALL, calibrate(arrays, SMALL, [image]))
    assert (package.arrays["blocks.0.scores.bias"] < 0).all()
    scores = run_network(package, image, "seg")["blocks.0.scores"]
    assert (scores == 511).mean() < 0.02
    assert 480 < scores.max() <= 511


def test_bad_weights_are_named() -> None:
    arrays, calibration = seeded_calibrated(SMALL)
    for value in (np.nan, np.inf):
        poisoned = {name: array.copy() for name, array in arrays.items()}
        poisoned["blocks.2.experts.fc2.bias"][1, 2] = value
        with pytest.raises(ValueError, match=r"blocks\.2\.experts\.fc2\.bias holds NaN or infinite values"):
            quantise(poisoned, SMALL, calibration)
    with pytest.raises(ValueError, match="small: calibration needs at least one image"):
        calibrate(arrays, SMALL, [])


def _with_default_ranges() -> QuantisedModel:
    """m3vit-micro as ``hwgen quantize`` makes it."""
    arrays = load_float("m3vit-micro")
    seen = calibrate(arrays, M3VIT_MICRO, calibration_images(M3VIT_MICRO, 8))
    return quantise(arrays, M3VIT_MICRO, seen, ranges=Ranges())


@pytest.mark.parametrize("make", [lambda: load_model("m3vit-micro"), _with_default_ranges], ids=["shipped", "default"])
def test_quantised_network_loses_little_quality(make: Callable[[], QuantisedModel]) -> None:
    arrays, package, config = load_float("m3vit-micro"), make(), M3VIT_MICRO
    scenes = draw_scenes(range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + LOSS_SCENES))
    integer = integer_quality(package, scenes)
    real = float_quality(arrays, config, scenes)
    assert len(scenes) == LOSS_SCENES
    assert integer.miou >= real.miou - 0.01
    assert integer.depth_rmse <= 1.03 * real.depth_rmse
    assert integer.miou >= 0.75
    assert integer.depth_rmse <= 0.5 * integer.depth_rmse_mean_predictor
