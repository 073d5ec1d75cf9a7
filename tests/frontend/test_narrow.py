"""Four-bit weights: their scales, what a package holds, and the loss that is reported."""

from dataclasses import replace

import numpy as np
import pytest

from golden.network import run_network
from hwgen.frontend.narrow import narrow_losses, narrow_text
from hwgen.frontend.quantise import quantise
from hwgen.frontend.scaling import narrow_scale, quantised_linear
from hwgen.frontend.seeded import seeded_calibrated
from hwgen.frontend.sensitivity import sensitivity
from hwgen.frontend.store import load_float, load_model
from hwgen.spec.model import ModelConfig
from hwgen.spec.presets import M3VIT_MICRO
from hwgen.spec.weight_bits import with_weight_bits
from tests.frontend.shapes import SMALL, noise_image

NARROW = with_weight_bits(SMALL, "experts=4,blocks.1.fc2=4")
IMAGE = noise_image(SMALL, 60)


def _error(weight: np.ndarray, scale: float) -> float:
    codes = np.clip(np.round(weight / scale), -7, 7)
    return float(np.square(codes * scale - weight).sum())


def test_the_scale_has_nearly_the_least_error():
    """Of a fine search over each channel, which is well below what the largest weight would give."""
    weight = np.random.default_rng(3).standard_normal((2, 5, 192)) * np.array([[[1.0]], [[0.01]]])
    found = narrow_scale(weight)
    assert found.shape == (2, 5)
    gains: list[float] = []
    for place in np.ndindex(2, 5):
        row = weight[place]
        widest = np.abs(row).max() / 7
        least = min(_error(row, widest * fraction) for fraction in np.linspace(0.4, 1.0, 400))
        assert _error(row, found[place]) <= 1.05 * least
        gains.append(_error(row, widest) / _error(row, found[place]))
    assert min(gains) >= 1.0
    assert np.mean(gains) > 1.1


def test_weights_that_fifteen_codes_hold_are_exact():
    weight = 0.25 * np.array([[-7, 3, 0, 7, 1, -2], [7, -6, 5, -4, 3, -2]], dtype=np.float64)
    found = quantised_linear(weight, None, in_scale=0.01, out_scale=0.02, int4=True)
    assert np.array_equal(found["weight"], 4 * weight)


def test_dead_channels():
    found = quantised_linear(np.zeros((3, 8)), np.array([1.0, 0.0, -1.0]), in_scale=0.01, out_scale=0.02, int4=True)
    assert not found["weight"].any()
    ratio = found["mult"] * 2.0 ** -found["shift"].astype(float)
    np.testing.assert_allclose(found["bias"] * ratio * 0.02, [1.0, 0.0, -1.0], rtol=1e-3)


@pytest.fixture(scope="module")
def tables():
    """Packages with and without four-bit weights, and their sensitivity tables."""
    arrays, calibration = seeded_calibrated(SMALL, seed=3)

    def made(config: ModelConfig):
        package = quantise(arrays, config, calibration)
        return package, sensitivity(package, arrays, [IMAGE])

    return made(NARROW), made(SMALL)


def test_only_the_named_layers_change(tables):
    (narrow, _), (wide, _) = tables
    changed = {name for name, array in wide.arrays.items() if not np.array_equal(array, narrow.arrays[name])}
    assert {name.rpartition(".")[0] for name in changed} == set(NARROW.int4)
    for layer in NARROW.int4:
        assert np.abs(narrow.arrays[f"{layer}.weight"]).max() == 7
        assert np.abs(wide.arrays[f"{layer}.weight"].astype(int)).max() == 127
    assert narrow.scales == wide.scales


def test_losses(tables):
    (narrow, lines), (wide, wide_lines) = tables
    found = narrow_losses(NARROW, lines, wide_lines)
    assert [line.name for line in found] == [*(f"{layer}.weight" for layer in NARROW.int4), "heads.seg", "heads.class"]
    for line in found[:-2]:
        assert 17 < line.narrow_db < 26 < 35 < line.wide_db
        assert line.loss_db == line.wide_db - line.narrow_db
    assert found[-2].loss_db > 3  # the noise of a head is that of the experts before it
    heads = {task: [run_network(item, IMAGE, task)[f"heads.{task}"] for item in (narrow, wide)] for task in ("seg",)}
    assert not np.array_equal(*heads["seg"])
    text = narrow_text(found).splitlines()
    assert len(text) == 1 + len(found)
    assert text[1].split()[:2] == [found[0].name, f"{found[0].narrow_db:.1f}"]
    assert narrow_text([]) == ""


def test_a_shipped_preset_is_quantised_anew():
    """With the scales of the shipped package."""
    layers = with_weight_bits(M3VIT_MICRO, "experts=4").int4
    narrow, wide = load_model("m3vit-micro", int4=layers), load_model("m3vit-micro")
    assert narrow.config == replace(M3VIT_MICRO, int4=layers)
    for name, scale in wide.scales.items():
        assert narrow.scales[name] == pytest.approx(scale, rel=1e-6), name
    for layer in layers:
        weight = narrow.arrays[f"{layer}.weight"]
        assert weight.shape == load_float("m3vit-micro")[f"{layer}.weight"].shape
        assert np.abs(weight).max() == 7
