"""One quantised model, the same bits on machines of different parallelism, buffers and ports, however memory stalls."""

import numpy as np
import pytest

from golden.network import run_network
from hwgen.frontend.store import load_model
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.presets import MODELS
from hwgen.spec.weight_bits import with_weight_bits
from tests.golden.random_package import random_image
from tests.system.machines import checked_runs, sim_options

MODEL = "m3vit-micro"
NAMES = ("sim", "sim-1x8x8", "sim-4x8x16", "sim-3x8x16", "sim-2x16x16")
CASES = (("*=8", 0.0), ("*=8", 0.3), ("experts=4", 0.3))  # bits of weights, share of stalled cycles


def test_the_machines_differ():
    """In every parallelism, in buffers, in ring and in ports."""
    chosen = [ARCHS[name] for name in NAMES]
    for field, least in (("token_lanes", 4), ("input_lanes", 2), ("output_lanes", 2), ("weight_ports", 3)):
        assert len({getattr(arch, field) for arch in chosen}) >= least, field
    for field in ("ring_bytes", "residual_bytes", "activation_bytes", "load_queue"):
        assert len({getattr(arch, field) for arch in chosen}) >= 2, field


@pytest.mark.parametrize(("bits", "stall"), CASES)
@pytest.mark.parametrize("name", NAMES)
def test_same_bits(name: str, bits: str, stall: float):
    """Both tasks; every named tensor is that of the network, which knows of no machine."""
    package = load_model(MODEL, int4=with_weight_bits(MODELS[MODEL], bits).int4)
    image = random_image(package.config, 21)
    options = sim_options(stall=stall, seed=len(name))
    runs = checked_runs(ARCHS[name], package, [image], options=options)
    assert [checked.run.task for checked in runs] == ["seg", "depth"]
    for checked in runs:
        counters = checked.run.counters
        assert counters["MAC_CYCLES"] <= counters["CYCLES"]
        assert 16 * counters["READ_BEATS"] == checked.run.ddr_read_bytes
        assert 16 * counters["WRITE_BEATS"] == checked.run.ddr_write_bytes
    seg, depth = (checked.golden for checked in runs)
    assert not np.array_equal(seg["blocks.1.experts"], depth["blocks.1.experts"])  # tasks choose other experts
    assert np.array_equal(seg["blocks.0.mlp"], depth["blocks.0.mlp"])


def test_images_follow_each_other():
    """Nothing of an image is left for the next one; the first image comes a second time."""
    package = load_model(MODEL)
    first, second = (random_image(package.config, seed) for seed in (22, 23))
    runs = checked_runs(ARCHS["sim"], package, [first, second, first])
    assert len(runs) == 6
    for early, late in zip(runs[:2], runs[4:], strict=True):
        assert np.array_equal(early.run.data, late.run.data)
    assert not np.array_equal(runs[0].run.data, runs[2].run.data)
    assert np.array_equal(runs[2].run.data, run_network(package, second, "seg")["heads.seg"])
