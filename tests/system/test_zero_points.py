"""Zero points of hidden units on the RTL: both ends of their range, and hidden rows with padding."""

import numpy as np
import pytest

from hwgen.spec.arch_presets import ARCHS
from tests.golden.machine.test_zero_point import package_with
from tests.golden.random_package import random_image
from tests.system.machines import checked_runs, sim_options

STALL = 0.2


@pytest.mark.parametrize(
    ("zero", "hidden", "expert_hidden", "stall"),
    [(-127, 9, 17, 0.0), (127, 24, 40, STALL), (1, 1, 1, 0.0), (-1, 64, 1, 0.0), (0, 17, 9, 0.0)],
)
def test_on_sim(zero: int, hidden: int, expert_hidden: int, stall: float):
    package = package_with(zero, hidden, expert_hidden)
    options = sim_options(stall=stall, seed=5)
    runs = checked_runs(ARCHS["sim"], package, [random_image(package.config)], options=options)
    assert len(runs) == len(package.config.tasks)
    for run in runs:
        assert run.comparison.tensors["blocks.0.hidden"].values == package.config.tokens * hidden
        codes = run.comparison.got["blocks.0.hidden"]
        assert zero in codes or hidden == 1  # GELU leaves many zeros, if not among nine values
        assert len(np.unique(codes)) > 4
