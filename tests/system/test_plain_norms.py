"""Rows of the residual stream as they are, on the RTL: beside LayerNorms, with padding and stalls."""

import numpy as np
import pytest

from hwgen.spec.arch_presets import ARCHS
from tests.golden.random_package import random_image, random_package
from tests.golden.test_plain_norm import mean_then_norm
from tests.system.machines import checked_runs, sim_options


@pytest.mark.parametrize(("dim", "stall"), [(40, 0.0), (24, 0.25)])
def test_on_sim(dim: int, stall: float):
    config = mean_then_norm(dim=dim)
    package, options = random_package(config, dim), sim_options(stall=stall, seed=7)
    (checked,) = checked_runs(ARCHS["sim"], package, [random_image(config, dim)], options=options)
    assert checked.comparison.tensors["codes"].values == config.network.rows * dim
    assert len(np.unique(checked.comparison.got["codes"])) > 50
