"""The networks of these tests on the golden machine: what the RTL is asked to do is possible, whatever the arch."""

import numpy as np
import pytest

from golden.network import run_network
from hwgen.compiler.compile import compile_model
from hwgen.spec.arch_presets import ARCHS
from tests.golden.test_compiled import named_tensors, run
from tests.system.networks import MANY_EXPERTS, NETWORKS, Network


def _check(network: Network, name: str) -> None:
    compiled = compile_model(network.package, ARCHS[name])
    for task in compiled.programs:
        expected = run_network(network.package, network.image, task)
        machine, codes = run(compiled, network.image, task)
        assert np.array_equal(codes, expected[f"heads.{task}"])
        found = named_tensors(compiled, task, machine)
        names = [name for name in expected if not name.endswith(".queue_lengths")]
        assert sorted(found) == sorted(names)
        for tensor in names:
            rows = found[tensor] != -(2**40)  # position rows and rows that the head does not read are not written
            assert rows.any()
            assert np.array_equal(found[tensor][rows], expected[tensor][rows]), tensor


@pytest.mark.parametrize("name", ["sim", "sim-1x8x8", "sim-3x8x16", "sim-4x8x16", "sim-2x16x16"])
@pytest.mark.parametrize("network", NETWORKS)
def test_network(network: str, name: str):
    _check(NETWORKS[network], name)


def test_many_experts():
    assert MANY_EXPERTS.config.experts > 2 * ARCHS["sim-1x8x8"].output_lanes
    _check(MANY_EXPERTS, "sim-1x8x8")


@pytest.mark.parametrize("network", [name for name in NETWORKS if name.startswith("queues-")])
def test_queue_lengths_are_as_chosen(network: str):
    chosen = NETWORKS[network]
    task = chosen.config.tasks[0].name
    lengths = run_network(chosen.package, chosen.image, task)["blocks.0.queue_lengths"]
    assert tuple(lengths.tolist()) == chosen.queue_lengths
    assert sum(lengths) == chosen.config.top_k * chosen.config.tokens


def test_every_queue_length_occurs():
    lengths = {length for network in NETWORKS.values() for length in network.queue_lengths or ()}
    tokens = NETWORKS["top-1"].config.tokens
    assert {0, 1, tokens - 1, tokens} <= lengths
