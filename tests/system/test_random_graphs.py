"""Random lists of layers on the RTL, every value compared: blocks of different shapes, and layers that no ViT has."""

import pytest

from hwgen.spec.arch_presets import ARCHS
from tests.golden.random_graphs import random_graph
from tests.golden.random_package import random_image, random_package
from tests.golden.test_random_graphs import NAMES
from tests.system.machines import checked_runs, sim_options

GRAPHS = 12


@pytest.mark.parametrize(("name", "seed"), [(NAMES[seed % len(NAMES)], seed) for seed in range(GRAPHS)])
def test_on_the_rtl(name: str, seed: int):
    arch = ARCHS[name]
    model = random_graph(seed, arch)
    options = sim_options(stall=0.25 if seed % 2 else 0.0, seed=seed)
    runs = checked_runs(arch, random_package(model, seed), [random_image(model, seed)], options=options)
    assert [checked.run.task for checked in runs] == [task.name for task in model.tasks]
