"""Tokens that leave: the golden machine runs what the network says, and the network says what it should."""

from dataclasses import replace

import numpy as np
import pytest

from golden.machine.machine import GoldenMachine
from golden.network import run_network
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.spec.layers import Select
from hwgen.spec.model import ModelConfig
from tests.golden.pruned import LIST_ARCHS, PRUNED
from tests.golden.random_package import random_image, random_package
from tests.golden.test_compiled import run

OWN = {"select": ("importance", "kept"), "move": ("gathered", "scattered")}  # trace channel -> names of entries


def moved(compiled: Compiled, task: str, machine: GoldenMachine) -> dict[str, np.ndarray]:
    """What the selections of a run left: importances, kept rows, and the words of streams."""
    found: dict[str, np.ndarray] = {}
    for entry in machine.trace:
        for place in compiled.programs[task].listing[entry.pc].produced:
            if entry.name not in OWN.get(place.channel, ()):
                continue
            if place.channel == "select" and place.tensor.endswith(entry.name):
                found[place.tensor] = entry.tensor
            elif place.channel == "move":
                stream = found.setdefault(place.tensor, np.zeros(place.shape, dtype=np.int64))
                stream[entry.rows] = entry.tensor[:, : place.shape[1]]
    return found


@pytest.mark.parametrize("arch", LIST_ARCHS)
@pytest.mark.parametrize("name", PRUNED)
def test_the_machine_leaves_what_the_network_says(name: str, arch: str) -> None:
    config = PRUNED[name]
    package, image = random_package(config, 5), random_image(config, 5)
    compiled = compile_model(package, LIST_ARCHS[arch])
    for task in config.tasks:
        expected = run_network(package, image, task.name)
        machine, codes = run(compiled, image, task.name)
        assert np.array_equal(codes, expected[f"heads.{task.name}"])
        found = moved(compiled, task.name, machine)
        selections = [layer for layer in config.network.walk(task.name) if isinstance(layer, Select)]
        names = {tensor.name for layer in selections for tensor in layer.tensors()}
        assert names <= set(found)
        for tensor in names:
            assert np.array_equal(found[tensor], expected[tensor]), tensor


@pytest.mark.parametrize("task", ["seg", "depth"])
def test_who_keeps_all_rows_changes_nothing(task: str) -> None:
    """Every tensor of the network without selections, bit for bit."""
    config = PRUNED["pruned-nothing"]
    plain = replace(config, keep=())
    package, image = random_package(config, 7), random_image(config, 7)
    assert package.arrays.keys() == random_package(plain, 7).arrays.keys()
    pruned, whole = run_network(package, image, task), run_network(random_package(plain, 7), image, task)
    for name, tensor in whole.items():
        assert np.array_equal(pruned[name], tensor), name
    assert len(pruned) > len(whole)


def _permuted(config: ModelConfig, order: np.ndarray, first: int) -> np.ndarray:
    return np.concatenate([np.arange(first), first + order])


def test_the_order_of_tokens_changes_no_token() -> None:
    """All sums are exact: patch tokens in another order keep their values, so that nobody has to sort them."""
    config = PRUNED["pruned-class"]
    package, image = random_package(config, 3), random_image(config, 3)
    rows = config.network.image.rows
    order = np.random.default_rng(1).permutation(rows)
    there = _permuted(config, order, config.first_patch)
    side = config.patch
    blocks = image.reshape(config.patch_rows, side, config.patch_columns, side, 3).transpose(0, 2, 1, 3, 4)
    mixed = blocks.reshape(rows, side, side, 3)[order].reshape(config.patch_rows, config.patch_columns, side, side, 3)
    moved_image = np.ascontiguousarray(mixed.transpose(0, 2, 1, 3, 4)).reshape(image.shape)
    arrays = dict(package.arrays) | {"position": package.arrays["position"][there]}
    one = run_network(package, image, "label")
    other = run_network(replace(package, arrays=arrays), moved_image, "label")
    first = next(layer for layer in config.network.layers if isinstance(layer, Select))
    values = one[first.importance]
    assert len(np.unique(values[config.first_patch :])) == rows  # nothing ties
    assert np.array_equal(other[first.importance], values[there])
    assert sorted(there[other[first.kept]].tolist()) == one[first.kept].tolist()
    assert np.array_equal(one["heads.label"], other["heads.label"])


def test_pruned_is_dense_on_the_kept_rows() -> None:
    """Without a fused token: blocks behind a selection are those of a network that has only ever had these rows."""
    config = replace(PRUNED["pruned-class"], keep=((0, 0.5),), fuse=False)
    package, image = random_package(config, 11), random_image(config, 11)
    found = run_network(package, image, "label")
    layer = next(item for item in config.network.layers if isinstance(item, Select))
    kept = found[layer.kept]
    assert np.array_equal(found[layer.writes], found[layer.source.tensor][kept])
    dropped = np.setdiff1d(np.arange(layer.rows), kept)
    assert found[layer.importance][dropped].max() <= found[layer.importance][kept[layer.prefix :]].min()
