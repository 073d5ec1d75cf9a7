"""Random lists of layers: golden network and golden machine agree on every tensor, with room and without."""

from collections import Counter

import numpy as np
import pytest

from golden.network import run_network
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.isa import Unit
from hwgen.spec.layers import Attention, Experts, Linear, Pool, Position, Residual
from tests.golden.random_graphs import random_graph
from tests.golden.random_package import random_image, random_package
from tests.golden.small_machines import least_machine
from tests.golden.test_compiled import named_tensors, run
from tests.system.machines import expected_counts

NAMES = ("sim", "sim-1x8x8", "sim-4x8x16", "sim-3x8x16", "sim-2x16x16")
GRAPHS = 120
SMALLEST = 200  # more of them, each on the smallest machine that takes it
# Names of layers that tell which parts a network has.
MARKS = (("blocks.", "fc1"), ("blocks.", "experts"), ("adapter", "up1"), ("parallel", "fc1"), ("chain", "codes"))
GROUP = 20  # networks of a test


@pytest.mark.parametrize("group", range(GRAPHS // GROUP))
def test_network_and_machine(group: int):
    for seed in range(group * GROUP, (group + 1) * GROUP):
        arch = ARCHS[NAMES[seed % len(NAMES)]]
        model = random_graph(seed, arch)
        check_compiled(compile_model(random_package(model, seed), arch), seed)


@pytest.mark.parametrize("group", range(SMALLEST // GROUP))
def test_on_the_smallest_machines(group: int):
    """Rings of a layer, scores of a query, one tensor where there was another: what does not fit comes in parts, and
    waits are added.
    """
    seen: Counter[str] = Counter()
    for seed in range(group * GROUP, (group + 1) * GROUP):
        arch = ARCHS[NAMES[seed % len(NAMES)]]
        model = random_graph(seed, arch, crossed=True)
        compiled = compile_model(random_package(model, seed), least_machine(model.network, arch))
        check_compiled(compiled, seed)
        for entry in (entry for program in compiled.programs.values() for entry in program.listing):
            seen["tiles"] += ".tiles" in entry.name
            seen["rows"] += ".rows" in entry.name
            if entry.unit in (Unit.IO, Unit.NORM):
                seen[entry.unit.name] += bool(entry.fields.get("wait_b"))
    assert min(seen[name] for name in ("tiles", "rows", "IO", "NORM")) > 0, seen


def check_compiled(compiled: Compiled, seed: int) -> None:
    """Every task of a random package agrees with the golden network on every value of every tensor."""
    model, arch = compiled.config, compiled.arch
    package, image = random_package(model, seed), random_image(model, seed)
    for task in compiled.programs:
        expected = run_network(package, image, task)
        machine, codes = run(compiled, image, task)
        where = f"{model.name}, seed {seed}, on {arch.name}, task {task}"
        assert np.array_equal(codes, expected[model.network.result(task).writes]), where
        found, counts = named_tensors(compiled, task, machine), expected_counts(model, expected, task)
        assert set(expected) - set(found) <= {name for name in expected if name.endswith(".queue_lengths")}, where
        for name, tensor in found.items():
            written = tensor != -(2**40)  # rows that nobody changes, or reads, are not computed
            assert int(written.sum()) == counts[name], (where, name)
            assert np.array_equal(tensor[written], expected[name][written]), (where, name)


def test_what_they_have():
    """Every part, with and without class token, means, dense tasks, narrow weights, streams changed in part."""
    seen: Counter[str] = Counter()
    for seed in range(GRAPHS):
        model = random_graph(seed, ARCHS[NAMES[seed % len(NAMES)]])
        layers = model.network.layers
        names = [layer.name for layer in layers]
        for start, end in MARKS:
            seen[start + end] += any(name.startswith(start) and name.endswith(end) for name in names)
        seen["token"] += any(isinstance(layer, Position) and layer.class_token for layer in layers)
        seen["mean"] += any(isinstance(layer, Pool) for layer in layers)
        seen["narrow"] += bool(model.int4)
        seen["two tasks"] += len(model.tasks) == 2
        seen["part"] += any(
            isinstance(layer, Linear) and isinstance(layer.finish, Residual) and layer.finish.into.first > 1
            for layer in layers
        )
        seen["heads"] += len({layer.heads for layer in layers if isinstance(layer, Attention)}) > 1
        seen["experts"] += len({layer.experts for layer in layers if isinstance(layer, Experts)}) > 1
    assert min(seen.values()) >= 3, seen
