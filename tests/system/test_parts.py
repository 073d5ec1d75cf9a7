"""Layers in parts through the whole machine: the same values as whole ones, whatever is cut and however small."""

from dataclasses import replace

import pytest

from hwgen.compiler.parts import Parts
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.model import TaskConfig
from tests.golden.random_package import random_image, random_package
from tests.system.machines import checked_runs, sim_options
from tests.system.networks import SEG, TINY

ODD = replace(TINY, name="odd", dim=54, heads=3, mlp_hidden=60, moe_blocks=(1,), expert_hidden=20)
CLASSES = TaskConfig(name="class", kind="classification", classes=960)


@pytest.mark.parametrize("name", ["sim", "sim-3x8x16"])
@pytest.mark.parametrize(
    "parts",
    [
        Parts(weight_words=1),
        Parts(query_rows=1),
        Parts(hidden_rows=1),
        Parts(weight_words=9, query_rows=4, hidden_rows=5),
    ],
    ids=["tiles", "queries", "rows", "all"],
)
def test_parts(name: str, parts: Parts):
    """A tile, a query or a row an instruction; and everything at once, with stalls."""
    options = sim_options(stall=0.2, seed=5) if parts.weight_words == 9 else None
    checked_runs(ARCHS[name], random_package(ODD, 5), [random_image(ODD, 5)], parts=parts, options=options)


def test_a_head_larger_than_the_ring():
    """One row uses each word once, so that the ring need not hold all of them."""
    config = replace(ODD, dim=40, heads=1, tasks=(SEG, CLASSES))
    assert ARCHS["sim"].ring_words < 60 * 5
    checked_runs(ARCHS["sim"], random_package(config, 6), [random_image(config, 6)])
