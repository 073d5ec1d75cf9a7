"""Random lists of layers on the RTL, every value compared, on machines in which little fits whole."""

import pytest

from tests.golden.random_graphs import random_graph
from tests.golden.random_package import random_image, random_package
from tests.golden.small_machines import SMALL
from tests.system.machines import checked_runs, sim_options

GRAPHS = 16
NAMES = ("small-sim-1x8x8", "small-sim-3x8x16")  # every one takes a simulator; golden runs on the others, too


@pytest.mark.parametrize(("name", "seed"), [(NAMES[seed % len(NAMES)], seed) for seed in range(GRAPHS)])
def test_on_the_rtl(name: str, seed: int):
    arch = SMALL[name]
    model = random_graph(seed, arch, crossed=True)
    options = sim_options(stall=(0.25, 0.0, 0.4)[seed % 3], seed=seed)
    runs = checked_runs(arch, random_package(model, seed), [random_image(model, seed)], options=options)
    assert [checked.run.task for checked in runs] == [task.name for task in model.tasks]
