"""Rules of ranges: what each computes, how it treats images of another kind, and what a file of overrides may say."""

from pathlib import Path

import numpy as np
import pytest

from hwgen.frontend.overrides import read_overrides
from hwgen.frontend.quantise import quantise
from hwgen.frontend.ranges import HEADROOM, RangeRule, Ranges, int8_tensors, range_scale
from hwgen.frontend.seeded import seeded_calibrated
from hwgen.store.strict_yaml import ConfigError
from tests.frontend.shapes import SMALL


def _error(values: np.ndarray, scale: float) -> float:
    """Square error relative to the signal."""
    return float(
        np.square(np.clip(np.round(values / scale), -127, 127) * scale - values).mean() / np.square(values).mean()
    )


def test_min_max_and_percentile_end_where_they_say() -> None:
    values = np.random.default_rng(0).standard_normal((4000, 8))
    values[7, 3] = -30.0
    assert range_scale(values, 4, RangeRule(rule="min-max")) == pytest.approx(30.0 / 127)
    for percentile in (90.0, 99.9):
        found = range_scale(values, 4, RangeRule(rule="percentile", percentile=percentile))
        assert (np.abs(values) > 127 * found).mean() == pytest.approx(1 - percentile / 100, abs=1e-4)
    mostly_zero = np.zeros((100, 8))
    mostly_zero[0, 0] = 2.0
    assert range_scale(mostly_zero, 1, RangeRule(rule="percentile", percentile=99.0)) == pytest.approx(2.0 / 127)


def test_the_error_search_finds_the_best_range_for_seen_and_stretched_values() -> None:
    rng = np.random.default_rng(1)
    images = [rng.standard_normal((500, 16)) * size for size in (1.0, 1.0, 4.0)]
    found = range_scale(np.concatenate(images), 3, RangeRule())
    errors = {
        scale: sum(_error(image * stretch, scale) ** 0.5 for image in images for stretch in (1 / HEADROOM, 1, HEADROOM))
        for scale in (found, *(found * np.geomspace(0.5, 2.0, 40)))
    }
    assert len(errors) == 41
    assert errors[found] <= 1.02 * min(errors.values())


def test_headroom_costs_little_on_seen_images_and_saves_much_on_larger_ones() -> None:
    values = np.random.default_rng(2).uniform(-1.0, 1.0, (1000, 16))
    plain, roomy = range_scale(values, 1, RangeRule(rule="min-max")), range_scale(values, 1, RangeRule())
    assert _error(values, roomy) < 2.5 * _error(values, plain)
    assert _error(values * 1.4, roomy) < 0.02 * _error(values * 1.4, plain)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "minmax"}, "unknown calibration rule 'minmax'; there are mse, percentile, min-max"),
        ({"rule": "percentile", "percentile": 49.0}, r"percentile 49: must be in 50\.\.100"),
        ({"rule": "percentile", "percentile": np.nan}, "percentile nan: must be in"),
    ],
)
def test_rules_that_make_no_sense_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RangeRule(**arguments)


def test_overrides_replace_the_rule_of_single_tensors(tmp_path: Path) -> None:
    path = tmp_path / "overrides.yaml"
    path.write_text(
        "blocks.0.hidden: {rule: percentile, percentile: 99.0}\nblocks.1.query: {scale: 0.031}\n"
        "blocks.1.key: {clip: 12.7}\nnorm: {rule: min-max}\n"
    )
    overrides = read_overrides(path, SMALL)
    arrays, calibration = seeded_calibrated(SMALL, seed=3)
    usual = quantise(arrays, SMALL, calibration, ranges=Ranges())
    package = quantise(arrays, SMALL, calibration, ranges=Ranges(overrides=overrides))
    assert {name for name in usual.scales if usual.scales[name] != package.scales[name]} == set(overrides)
    assert package.scales["blocks.1.query"] == 0.031
    assert package.scales["blocks.1.key"] == pytest.approx(0.1)
    assert package.scales["norm"] == pytest.approx(np.abs(calibration.samples["norm"]).max() / 127)
    hidden = np.abs(calibration.samples["blocks.0.expert_hidden"])
    ends = 127 - package.zeros["blocks.0.hidden"]
    assert (hidden > ends * package.scales["blocks.0.hidden"]).mean() == pytest.approx(0.01, abs=1e-3)
    assert package.provenance["overrides"]["blocks.0.hidden"] == {"rule": "percentile", "percentile": 99.0}
    assert package.provenance["overrides"]["blocks.1.query"] == {"scale": 0.031}
    assert package.provenance["calibration_rule"] == {"rule": "mse", "headroom": HEADROOM}
    assert "overrides" not in usual.provenance
    assert set(int8_tensors(SMALL)) == {
        name for name in usual.scales if name == "norm" or name.rsplit(".")[-1] in
        ("norm1", "norm2", "query", "key", "value", "context", "hidden")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "blocks.0.hiden: {rule: mse}",
            r"no int8 tensor has the name 'blocks\.0\.hiden'; did you mean blocks\.0\.hidden",
        ),
        ("zzz: {rule: mse}", "no int8 tensor has the name 'zzz'; names are such as"),
        ("norm: {rule: mean}", "unknown calibration rule 'mean'; there are mse, percentile, min-max"),
        ("norm: {rule: percentile, percentile: 101}", "percentile 101: must be in 50..100"),
        ("norm: {rule: mse, percentile: 99}", "percentile belongs to rule: percentile"),
        ("norm: {rule: mse, scale: 0.1}", "give one of rule, scale and clip, not rule and scale"),
        ("norm: {}", "give one of rule, scale and clip, not none of them"),
        ("norm: {scale: 0}", "scale = 0: Input should be greater than 0"),
        ("norm: {scale: .nan}", "scale = nan: Input should be"),
        ("norm: {scal: 1}", "unknown key 'scal'; did you mean 'scale'"),
        ("norm: 0.1", "norm: expected a mapping such as {rule: min-max}, found 0.1"),
        ("norm: {rule: mse}\nnorm: {rule: mse}", "key 'norm' is given twice"),
        ("- norm", "expected keys and values, found list"),
        ("norm: {rule: percentile, percentile: 0}", "percentile 0: must be in 50..100"),
        ("norm: {scale: true}", "scale = True: give a number, not yes or no"),
        ("? [norm]\n: {scale: 1}", "line 1: a key is a list or a mapping; give a name"),
        ("norm: {scale: 2020-13-45}", "not readable as YAML: month must be in 1..12"),
        ("norm: {scale: !!bool maybe}", "not readable as YAML"),
        pytest.param("[" * 5000, "brackets are nested too deep", id="deep"),
    ],
)
def test_overrides_that_cannot_be_used_are_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "overrides.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message.replace("{", r"\{").replace("}", r"\}")) as error:
        read_overrides(path, SMALL)
    assert str(path) in str(error.value)


def test_a_fixed_scale_far_from_the_values_is_refused() -> None:
    arrays, calibration = seeded_calibrated(SMALL, seed=3)
    for scale in (1e-6, 1e4):
        with pytest.raises(ValueError, match=r"blocks\.1\.query: a scale of .* ends at .*, and calibration saw"):
            quantise(arrays, SMALL, calibration, ranges=Ranges(overrides={"blocks.1.query": scale}))


def test_a_tensor_without_range_is_named() -> None:
    for value in (0.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"blocks\.1\.value is zero, NaN or infinite"):
            Ranges().scale("blocks.1.value", np.full((4, 8), value), 2)
