"""Small networks through the whole machine: gates, queues, padding and odd token counts."""

import pytest

from hwgen.spec.arch_presets import ARCHS
from tests.system.machines import checked_runs, sim_options
from tests.system.networks import MANY_EXPERTS, NETWORKS
from tests.system.test_arches import NAMES

STALL = 0.2
OTHERS = NAMES[1:]


def _check(network: str, name: str, stall: float) -> None:
    chosen = NETWORKS[network]
    runs = checked_runs(ARCHS[name], chosen.package, [chosen.image], options=sim_options(stall=stall, seed=3))
    assert len(runs) == len(chosen.config.tasks)
    if chosen.queue_lengths is not None:
        got = runs[0].comparison.got["blocks.0.queue_lengths"]
        assert tuple(got.tolist()) == chosen.queue_lengths


@pytest.mark.parametrize("network", NETWORKS)
def test_on_sim(network: str):
    _check(network, "sim", 0.0)


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (network, name)
        for number, network in enumerate(NETWORKS)
        for name in (OTHERS[number % len(OTHERS)], OTHERS[(number + 1) % len(OTHERS)])
    ],
)
def test_on_others(network: str, name: str):
    """Every network on two more machines, with stalls."""
    _check(network, name, STALL)


@pytest.mark.parametrize("name", ["sim-1x8x8"])
def test_more_experts_than_output_lanes(name: str):
    """The logits of a token come in several words."""
    arch = ARCHS[name]
    assert MANY_EXPERTS.config.experts > 2 * arch.output_lanes
    runs = checked_runs(arch, MANY_EXPERTS.package, [MANY_EXPERTS.image])
    lengths = runs[0].comparison.got["blocks.0.queue_lengths"]
    assert lengths.shape == (MANY_EXPERTS.config.experts,)
    assert (lengths[2 * arch.output_lanes :] > 0).any()
    assert (lengths == 0).any()
