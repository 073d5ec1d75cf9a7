"""The sensitivity table: its figures against direct ones, its order, and that it finds a spoilt scale."""

from dataclasses import replace

import numpy as np
import pytest

from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.quantise import quantise
from hwgen.frontend.seeded import seeded_calibrated
from hwgen.frontend.sensitivity import TensorDamage, decibels, sensitivity, sensitivity_text
from hwgen.spec.package import QuantisedModel
from tests.frontend.shapes import SMALL, noise_image

IMAGES = [noise_image(SMALL, seed) for seed in (50, 51)]


@pytest.fixture(scope="module")
def small() -> tuple[QuantisedModel, dict[str, np.ndarray]]:
    arrays, calibration = seeded_calibrated(SMALL, seed=3)
    return quantise(arrays, SMALL, calibration), arrays


@pytest.fixture(scope="module")
def table(small) -> list[TensorDamage]:
    package, arrays = small
    return sensitivity(package, arrays, IMAGES)


def by_name(lines: list[TensorDamage]) -> dict[str, TensorDamage]:
    found = {line.name: line for line in lines}
    assert len(found) == len(lines)
    return found


def test_every_tensor_with_a_scale_and_every_weight_has_a_line(small, table):
    package, _ = small
    found = by_name(table)
    left_out = {name for name in package.scales if name.endswith((".scores", ".expert_scores")) or name == "residual"}
    weights = {name for name in package.arrays if name.endswith(".weight")}
    assert set(found) == (set(package.scales) - left_out) | weights
    assert len(left_out) == 3 + 2 + 1
    without_golden = {name for name, line in found.items() if line.golden_db is None}
    assert without_golden == weights | {"blocks.0.hidden", "blocks.2.hidden"}  # experts: kept by no golden tensor


def test_sorted_by_damage(table):
    ratios = [line.format_db for line in table]
    assert ratios == sorted(ratios)
    assert ratios[0] < 35 < 60 < ratios[-1]


def test_figures_of_one_tensor_are_the_direct_ones(small, table):
    package, arrays = small
    name, tasks = "blocks.1.query", [task.name for task in SMALL.tasks]
    real = np.concatenate([FloatModel(arrays, SMALL).run(i, t)[name] for i in IMAGES for t in tasks])
    golden = np.concatenate([run_network(package, i, t)[name] for i in IMAGES for t in tasks]) * package.scales[name]
    scale = package.scales[name]
    stored = np.clip(np.rint(real / scale), -127, 127) * scale
    line = by_name(table)[name]
    assert (line.low, line.high, line.scale) == (real.min(), real.max(), scale)
    assert line.clipped == np.mean(np.abs(real) > 127.5 * scale)
    assert line.format_db == pytest.approx(10 * np.log10(np.square(real).sum() / np.square(real - stored).sum()))
    assert line.golden_db == pytest.approx(10 * np.log10(np.square(real).sum() / np.square(real - golden).sum()))
    assert line.golden_db < line.format_db
    expected = np.sum(real * stored) / np.sqrt(np.square(real).sum() * np.square(stored).sum())
    assert line.cosine == pytest.approx(expected)


def test_a_scale_that_is_too_fine_clips_and_comes_first(small):
    package, arrays = small
    name = "blocks.1.context"
    spoilt = replace(package, scales={**package.scales, name: package.scales[name] / 8})
    lines = sensitivity(spoilt, arrays, IMAGES[:1], golden=False)
    assert lines[0].name == name
    assert lines[0].clipped > 0.05
    assert all(line.golden_db is None for line in lines)


def test_coarse_weights_come_first(small):
    package, arrays = small
    name = "blocks.1.fc2.weight"
    coarse = np.round(package.arrays[name] / 32.0) * 32
    spoilt = replace(package, arrays={**package.arrays, name: np.clip(coarse, -127, 127).astype(np.int8)})
    lines = sensitivity(spoilt, arrays, IMAGES[:1], golden=False)
    assert lines[0].name == name
    assert lines[0].format_db < 20


def test_text_and_json(table):
    text = sensitivity_text(table, 5).splitlines()
    assert len(text) == 6
    assert text[1].split()[0] == table[0].name
    assert len({len(line) for line in text}) == 1
    assert set(table[0].as_dict()) == set(TensorDamage.__dataclass_fields__)


def test_extremes():
    assert decibels(1.0, 0.0) == 999.0
    assert decibels(0.0, 1.0) == -999.0
    assert decibels(100.0, 1.0) == pytest.approx(20.0)


def test_no_image_is_refused(small):
    package, arrays = small
    with pytest.raises(ValueError, match="small: the sensitivity table needs at least one image"):
        sensitivity(package, arrays, [])
