"""Registers, two class tokens whose heads are averaged, and every token as features: what heads read."""

from dataclasses import replace

import numpy as np
import pytest

from golden.network import run_network
from golden.reference.m3vit_float import run_float
from hwgen.compiler.compile import compile_model
from hwgen.frontend.calibration import calibrate, equalise
from hwgen.frontend.equalisation import equalisation_factors, without_equalisation
from hwgen.frontend.importers.pooled import mean_norm_arrays
from hwgen.frontend.quantise import quantise
from hwgen.frontend.ranges import Ranges
from hwgen.frontend.seeded import seeded_float
from hwgen.frontend.sensitivity import decibels
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.layers import Linear, Result, Rows
from hwgen.spec.model import ModelConfig, TaskConfig
from tests.golden.random_package import random_image, random_package
from tests.golden.small_machines import least_machine
from tests.golden.test_random_graphs import check_compiled

CLASS = TaskConfig(name="class", kind="classification", classes=7)
ALL = TaskConfig(name="tokens", kind="features", classes=20)
BASE = ModelConfig(
    name="tokens",
    image_height=16,
    image_width=32,
    patch=8,
    dim=20,
    depth=1,
    heads=2,
    mlp_hidden=24,
    tasks=(CLASS, ALL),
)
KINDS = {
    "registers": replace(BASE, registers=3),
    "distilled": replace(BASE, class_token="distilled"),
    "distilled with registers": replace(BASE, class_token="distilled", registers=1),
    "registers, no class token": replace(BASE, class_token="none", registers=2, pool="mean"),
    "normalised mean": replace(BASE, pool="mean_norm", registers=1),
    "normalised mean of all": replace(BASE, pool="mean_norm", class_token="none", tasks=(CLASS,)),
}


@pytest.mark.parametrize("config", KINDS.values(), ids=list(KINDS))
@pytest.mark.parametrize("arch", ["sim-1x8x8", "sim-2x16x16", "sim-1x8x64", "zcu102"])
def test_network_and_machine(config: ModelConfig, arch: str) -> None:
    """Rows of 20 channels fill no word: rows side by side are padded, each."""
    machines = [ARCHS[arch], *([least_machine(config.network, ARCHS[arch])] if arch != "zcu102" else [])]
    for machine in machines:
        check_compiled(compile_model(random_package(config), machine), 0)


def test_rows_of_every_kind() -> None:
    for name, (tokens, first, inputs, rows) in {
        "registers": (12, 4, 20, 12),
        "distilled": (10, 2, 40, 10),
        "distilled with registers": (11, 3, 40, 11),
        "registers, no class token": (10, 2, 20, 10),
    }.items():
        config = KINDS[name]
        assert (config.tokens, config.first_patch, config.network.rows) == (tokens, first, tokens)
        assert config.network.linears["heads.class"].inputs == inputs
        assert config.network.result("tokens").rows == config.result_rows(ALL) == rows


def test_two_heads_averaged() -> None:
    """Half of both weights, side by side, is the mean of what two heads say."""
    config = KINDS["distilled"]
    arrays, image = seeded_float(config), random_image(config)
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=(2, 7, 20)) / 4
    arrays["heads.class.weight"] = np.concatenate([one, two], axis=1) / 2
    found = run_float(arrays, config, image, "class")
    token, distilled = found["norm"][:2]
    mean = (one @ token + two @ distilled) / 2 + arrays["heads.class.bias"]
    assert np.allclose(found["heads.class"], mean)
    assert not np.allclose(found["heads.class"], one @ token + arrays["heads.class.bias"])


def test_golden_follows_the_float_model() -> None:
    """Equalised columns are those of both rows, and bias correction knows the mean of both."""
    config = KINDS["distilled with registers"]
    source, image = seeded_float(config), random_image(config)
    source["norm.weight"] = np.exp(np.random.default_rng(5).normal(size=20)).astype(np.float32)
    arrays, seen = equalise(source, config, calibrate(source, config, [image]))
    factors = equalisation_factors(source, arrays, config)
    back = without_equalisation(arrays, config, factors)
    assert all(np.allclose(back[name], source[name], rtol=1e-4, atol=1e-6) for name in source)
    package = quantise(arrays, config, seen, ranges=Ranges(bias_correction=True))
    for task in ("class", "tokens"):
        head = f"heads.{task}"
        real = run_float(source, config, image, task)[head]
        assert np.allclose(run_float(arrays, config, image, task)[head], real, atol=1e-4)
        off = run_network(package, image, task)[head] * package.scales[head] - real
        assert decibels(float(np.square(real).sum()), float(np.square(off).sum())) > 25


def _as_trained(config: ModelConfig) -> dict[str, np.ndarray]:
    """Seeded arrays in which the mean is one, not weighed."""
    return seeded_float(config) | mean_norm_arrays(config.dim)


@pytest.mark.parametrize("name", ["normalised mean", "normalised mean of all"])
def test_the_mean_before_its_norm(name: str) -> None:
    """What timm computes with fc_norm: the mean of the patches of the residual stream, normalised, then the head."""
    config = KINDS[name]
    arrays, image = _as_trained(config), random_image(config)
    found = run_float(arrays, config, image, "class")
    mean = found["blocks.0.mlp"][config.first_patch :].mean(axis=0)
    normal = (mean - mean.mean()) / np.sqrt(mean.var() + config.epsilon)
    row = normal * arrays["fc_norm.weight"] + arrays["fc_norm.bias"]
    assert np.allclose(found["heads.class"], row @ arrays["heads.class.weight"].T + arrays["heads.class.bias"])
    seen = calibrate(arrays, config, [image])
    equal, seen = equalise(arrays, config, seen)
    package = quantise(equal, config, seen, ranges=Ranges())
    off = run_network(package, image, "class")["heads.class"] * package.scales["heads.class"] - found["heads.class"]
    assert decibels(float(np.square(found["heads.class"]).sum()), float(np.square(off).sum())) > 25


def test_columns_of_the_mean_have_steps_of_their_own() -> None:
    """A column a hundred times as large as the others costs them nothing."""
    config = KINDS["normalised mean of all"]
    arrays, image = _as_trained(config), random_image(config)
    arrays["position"][:, 3] += 300.0
    real = run_float(arrays, config, image, "class")
    equal, seen = equalise(arrays, config, calibrate(arrays, config, [image]))
    package = quantise(equal, config, seen, ranges=Ranges())
    codes = run_network(package, image, "class")["pool.codes"]
    assert np.abs(codes).max(axis=0).min() > 60
    assert real["pool.codes"][:, 3].min() > 20 * np.abs(np.delete(real["pool.codes"], 3, axis=1)).max()


def test_only_one_row_is_made_of_several() -> None:
    linear = Linear(
        name="head",
        writes="head",
        source=Rows(tensor="norm", count=4),
        rows=2,
        inputs=40,
        outputs=3,
        finish=Result(),
        part="heads",
    )
    with pytest.raises(ValueError, match=r"head: 2 rows side by side make one row of as many equal parts, not 2 of 40"):
        replace(linear, beside=2)
    with pytest.raises(ValueError, match=r"3 rows side by side .* not 1 of 40 inputs"):
        replace(linear, rows=1, beside=3)
