"""Tokens that leave, on the RTL: importances, lists, moved and fused rows, and all that comes of them."""

from dataclasses import replace

import numpy as np
import pytest

from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.layers import Select
from hwgen.spec.model import ModelConfig
from hwgen.spec.package import QuantisedModel
from tests.golden.limit_package import limit_package
from tests.golden.pruned import LIST_ARCHS, PRUNED
from tests.golden.random_package import random_image, random_package
from tests.system.machines import checked_runs, sim_options

OTHERS = [name for name in LIST_ARCHS if name != "sim"]


def selections(config: ModelConfig, task: str) -> list[Select]:
    """Its layers that let tokens go."""
    return [layer for layer in config.network.walk(task) if isinstance(layer, Select)]


def run(name: str, arch: str, seed: int = 5) -> None:
    """Every task of a network with random weights, all values compared."""
    config = PRUNED[name]
    runs = checked_runs(ARCHS[arch], random_package(config, seed), [random_image(config, seed)])
    for checked in runs:
        for layer in selections(config, checked.run.task):
            assert {layer.importance, layer.kept, layer.writes} <= set(checked.comparison.tensors)


@pytest.mark.parametrize("name", PRUNED)
def test_on_sim(name: str) -> None:
    run(name, "sim")


@pytest.mark.parametrize("arch", OTHERS)
@pytest.mark.parametrize("name", ["pruned-fused", "pruned-class"])
def test_on_others(name: str, arch: str) -> None:
    run(name, arch)


def with_equal_keys(package: QuantisedModel) -> QuantisedModel:
    """Keys that are all the same, so that every importance is."""
    keys = {name: np.zeros_like(array) for name, array in package.arrays.items() if name.endswith(".key.weight")}
    return replace(package, arrays=dict(package.arrays) | keys)


def test_ties() -> None:
    """All importances are equal: the first rows stay."""
    config = PRUNED["pruned-class"]
    (checked,) = checked_runs(ARCHS["sim"], with_equal_keys(random_package(config, 2)), [random_image(config, 2)])
    first = selections(config, "label")[0]
    assert len(np.unique(checked.golden[first.importance])) == 1
    assert checked.golden[first.kept].tolist() == list(range(first.prefix + first.keep))


def test_limits() -> None:
    """Weights, scales and tables at the ends of their ranges."""
    config = PRUNED["pruned-class"]
    checked_runs(ARCHS["sim"], limit_package(config, 3), [random_image(config, 3)])


@pytest.mark.parametrize("seed", range(2))
def test_stalls_change_nothing(seed: int) -> None:
    config = PRUNED["pruned-fused"]
    options = sim_options(stall=0.3, seed=seed)
    checked_runs(ARCHS["sim"], random_package(config, 9), [random_image(config, 9)], options=options)
