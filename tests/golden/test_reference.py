"""The float reference: scenes and the NumPy forward pass."""

import math
from dataclasses import replace

import numpy as np
import pytest

from golden.network import run_network
from golden.reference import functions
from golden.reference import m3vit_float as reference
from golden.reference.layers.patches import PIXEL_SCALE, pixel_rows
from golden.reference.scenes import (
    CALIBRATION_FIRST_SEED,
    CLASS_NAMES,
    FAR_METRES,
    HELD_OUT_FIRST_SEED,
    NEAR_METRES,
    TRAIN_FIRST_SEED,
    draw_scene,
    draw_scenes,
)
from hwgen.frontend.seeded import seeded_calibrated, seeded_package
from hwgen.spec.model import ModelConfig
from hwgen.spec.presets import M3VIT_MICRO
from tests.frontend.shapes import SMALL, noise_image


def test_a_seed_draws_the_same_scene_and_another_seed_another() -> None:
    first, again, other = draw_scene(3), draw_scene(3), draw_scene(4)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.depth, again.depth)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 256), (224, 224)])
def test_scenes_scale_with_the_image(height: int, width: int) -> None:
    scene = draw_scene(1, height=height, width=width)
    assert scene.image.shape == (height, width, 3)
    assert scene.image.dtype == np.uint8
    assert scene.segmentation.shape == scene.depth.shape == (height, width)
    assert 0.05 < (scene.segmentation > 0).mean() < 0.9


def test_scenes_hold_every_class_several_depths_and_occlusion() -> None:
    scenes = draw_scenes(range(60))
    labels = np.stack([scene.segmentation for scene in scenes])
    shares = np.bincount(labels.ravel(), minlength=len(CLASS_NAMES)) / labels.size
    assert len(shares) == len(CLASS_NAMES)
    assert shares.min() > 0.03
    depths = np.stack([scene.depth for scene in scenes])
    assert depths.min() >= NEAR_METRES - 1e-3
    assert depths.max() <= FAR_METRES + 1e-3
    hides = [len(np.unique(scene.depth[scene.segmentation > 0])) for scene in scenes]
    assert max(hides) >= 4  # several shapes of different depth survive the painting


def test_the_three_sets_of_seeds_are_far_apart() -> None:
    assert sorted([TRAIN_FIRST_SEED, HELD_OUT_FIRST_SEED, CALIBRATION_FIRST_SEED]) == [0, 1_000_000, 2_000_000]


def test_erf_and_gelu_follow_the_exact_functions() -> None:
    x = np.linspace(-6.0, 6.0, 4001)
    exact = np.array([math.erf(value) for value in x])
    assert np.abs(functions.erf(x) - exact).max() < 2e-7
    exact_gelu = np.array([0.5 * value * (1.0 + math.erf(value / math.sqrt(2.0))) for value in x])
    assert np.abs(functions.gelu(x) - exact_gelu).max() < 1e-6


def test_patch_values_are_channel_row_column_and_pixel_zero_is_zero() -> None:
    config = replace(SMALL, patch=2, image_height=2, image_width=4)
    patches = config.network.image
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    rows = pixel_rows(image, patches)
    codes = rows / PIXEL_SCALE + 128
    assert codes[1].tolist() == [6, 9, 18, 21, 7, 10, 19, 22, 8, 11, 20, 23]
    assert codes[0].tolist() == [0, 3, 12, 15, 1, 4, 13, 16, 2, 5, 14, 17]  # as they are, unlike in the machine


@pytest.mark.parametrize("config", [SMALL, M3VIT_MICRO], ids=lambda config: config.name)
def test_names_and_shapes_are_those_of_the_integer_network(config: ModelConfig) -> None:
    arrays, _ = seeded_calibrated(config)
    package = seeded_package(config)
    compared = 0
    for task in config.tasks:
        image = noise_image(config)
        floats = reference.run_float(arrays, config, image, task.name)
        integers = run_network(package, image, task.name)
        for name, tensor in floats.items():
            assert integers[name].shape == tensor.shape, name
            compared += 1
        only_integer = {name.rsplit(".", 1)[-1] for name in set(integers) - set(floats)}
        assert only_integer <= {"scores", "queue_lengths"}
    per_task = 3 + sum(11 if config.is_moe(block) else 9 for block in range(config.depth))
    dense = sum(not config.is_moe(block) for block in range(config.depth))
    assert compared >= len(config.tasks) * (per_task - dense)


def test_scores_are_renormalised_only_on_request() -> None:
    arrays, _ = seeded_calibrated(SMALL)
    image = noise_image(SMALL)
    with_sum = reference.run_float(arrays, SMALL, image, "seg")["blocks.0.expert_scores"].sum(axis=1)
    plain = replace(SMALL, gate_renormalise=False)
    without = reference.run_float(arrays, plain, image, "seg")["blocks.0.expert_scores"].sum(axis=1)
    assert np.allclose(with_sum, 1.0)
    assert without.max() < 1.0


def test_wrong_arrays_and_images_are_named() -> None:
    arrays, _ = seeded_calibrated(SMALL)
    image = noise_image(SMALL)
    poisoned = {**arrays, "blocks.1.fc1.weight": arrays["blocks.1.fc1.weight"] * np.nan}
    with pytest.raises(ValueError, match=r"small: blocks\.1\.fc1\.weight holds NaN or infinite values"):
        reference.run_float(poisoned, SMALL, image, "seg")
    missing = {name: array for name, array in arrays.items() if name != "norm.bias"}
    with pytest.raises(ValueError, match=r"float array 'norm\.bias' is missing"):
        reference.run_float(missing, SMALL, image, "seg")
    with pytest.raises(ValueError, match=r"position has shape \[3, 32\], expected \[9, 32\]"):
        reference.run_float({**arrays, "position": arrays["position"][:3]}, SMALL, image, "seg")
    with pytest.raises(ValueError, match=r"takes uint8 images of \[16, 32, 3\], got float64\[16, 32, 3\]"):
        reference.run_float(arrays, SMALL, image.astype(np.float64), "seg")
    with pytest.raises(ValueError, match="has no task 'depth'"):
        reference.run_float(arrays, SMALL, image, "depth")
