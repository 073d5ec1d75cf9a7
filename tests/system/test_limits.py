"""Packages with values at the limits of every array, function tables included: the RTL still equals golden."""

from dataclasses import replace

import numpy as np
import pytest

from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.array_kinds import CONTEXT_SHIFT, KINDS, NORM_SHIFT, WEIGHTS, ArrayKind
from hwgen.spec.arrays import optional_arrays, package_arrays
from hwgen.spec.weight_bits import with_weight_bits
from hwgen.spec.weight_formats import PACKED4
from tests.golden.limit_package import limit_package
from tests.golden.random_package import random_image
from tests.system.machines import checked_runs
from tests.system.networks import DEPTH, SEG, TINY

NARROW = with_weight_bits(replace(TINY, tasks=(SEG, DEPTH)), "experts=4,*.query=4")
RARE = {
    CONTEXT_SHIFT,
    NORM_SHIFT,
    WEIGHTS[PACKED4.name],
}  # kinds of few values, which some packages have not at their limits
RENORMALISED = replace(TINY, gate_renormalise=True, top_k=1, moe_blocks=(0, 1))


@pytest.mark.parametrize("seed", range(6))
def test_on_sim(seed: int):
    config = RENORMALISED if seed % 2 else NARROW
    package = limit_package(config, seed)
    seen: dict[ArrayKind, set[int]] = {}
    for name, spec in (package_arrays(config) | optional_arrays(config)).items():
        if isinstance(spec.holds, ArrayKind):
            seen.setdefault(spec.holds, set()).update(np.unique(package.arrays[name]).tolist())
    for kind in set(KINDS) - RARE:
        assert {kind.low, kind.high} <= seen[kind], kind
    runs = checked_runs(ARCHS["sim"], package, [random_image(config, seed)])
    assert len(runs) == len(config.tasks)
