"""A dense MLP split into experts that every token visits equals the dense MLP, bit for bit.

A gate of zeros scores each of E experts 1/E. Second layers have shift 0, so that their products are exact, and the
experts' multiplier is E times the dense one, so that each score gives back a whole number.
"""

from dataclasses import replace

import numpy as np
import pytest

from golden.network import run_network
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.arrays import package_arrays
from hwgen.spec.package import QuantisedModel
from tests.golden.random_package import changed, random_image, random_package
from tests.system.machines import Checked, checked_runs
from tests.system.networks import SEG, TINY

HIDDEN = 64
DENSE = replace(TINY, name="dense", depth=1, moe_blocks=(), experts=0, top_k=0, expert_hidden=0, mlp_hidden=HIDDEN)
AT = "blocks.0"


def dense_package(seed: int) -> QuantisedModel:
    """A random dense network whose second MLP layer multiplies by one and two, without a shift."""
    rng = np.random.default_rng(seed)
    return changed(
        random_package(DENSE, seed),
        **{
            f"{AT}.fc2.weight": rng.integers(-3, 4, (DENSE.dim, HIDDEN)).astype(np.int8),
            f"{AT}.fc2.bias": rng.integers(-300, 300, DENSE.dim).astype(np.int32),
            f"{AT}.fc2.mult": (1 + np.arange(DENSE.dim) % 2).astype(np.uint16),
            f"{AT}.fc2.shift": np.zeros(DENSE.dim, np.uint8),
            f"{AT}.fc1.zero": np.array([-9], np.int8),
        },
    )


def split_package(dense: QuantisedModel, experts: int) -> QuantisedModel:
    """The same network with its MLP cut into ``experts`` parts of equal size."""
    part = HIDDEN // experts
    config = replace(
        DENSE, name=f"split-{experts}", moe_blocks=(0,), experts=experts, top_k=experts, expert_hidden=part
    )
    arrays = {name: array for name, array in dense.arrays.items() if f"{AT}.fc" not in name}
    for name in ("weight", "bias", "mult", "shift"):
        first = dense.arrays[f"{AT}.fc1.{name}"]
        arrays[f"{AT}.experts.fc1.{name}"] = first.reshape(experts, part, *first.shape[1:])
    for name in ("gelu_mult", "gelu_shift", "zero"):
        arrays[f"{AT}.experts.fc1.{name}"] = dense.arrays[f"{AT}.fc1.{name}"]
    weight, bias = dense.arrays[f"{AT}.fc2.weight"], dense.arrays[f"{AT}.fc2.bias"]
    only_last = np.zeros((experts, DENSE.dim), np.int32)
    only_last[-1] = bias
    arrays[f"{AT}.experts.fc2.weight"] = weight.reshape(DENSE.dim, experts, part).transpose(1, 0, 2)
    arrays[f"{AT}.experts.fc2.bias"] = only_last
    arrays[f"{AT}.experts.fc2.mult"] = np.tile(dense.arrays[f"{AT}.fc2.mult"] * np.uint16(experts), (experts, 1))
    arrays[f"{AT}.experts.fc2.shift"] = np.zeros((experts, DENSE.dim), np.uint8)
    for name, spec in package_arrays(config).items():
        if ".gate." in name:
            arrays[name] = np.full(spec.shape, 1 if name.endswith(".mult") else 0, spec.dtype)
    return QuantisedModel(config=config, arrays=arrays, scales={})


def _same(dense: dict[str, np.ndarray], split: dict[str, np.ndarray]) -> int:
    """Compare everything behind the attention; how many values that were."""
    pairs = {f"{AT}.mlp": f"{AT}.moe", "norm": "norm", f"heads.{SEG.name}": f"heads.{SEG.name}"}
    for one, other in pairs.items():
        assert np.array_equal(dense[one], split[other]), one
        assert len(np.unique(dense[one])) > 50
    assert not np.array_equal(dense[f"{AT}.mlp"], dense[f"{AT}.attention"])
    return sum(dense[name].size for name in pairs)


@pytest.mark.parametrize("experts", [2, 4, 8])
def test_golden(experts: int):
    """The construction is right: golden agrees, nothing saturates."""
    dense = dense_package(31)
    image = random_image(DENSE, 31)
    one, other = (run_network(package, image, SEG.name) for package in (dense, split_package(dense, experts)))
    assert _same(one, other) > 1000
    change = np.abs(one[f"{AT}.mlp"] - one[f"{AT}.attention"])
    assert 200 < change.max() < 32767 / experts
    assert np.all(other[f"{AT}.expert_scores"] == 32768 // experts)


@pytest.mark.parametrize(
    ("name", "experts"), [("sim", 2), ("sim", 4), ("sim", 8), ("sim-3x8x16", 4), ("sim-2x16x16", 4)]
)
def test_rtl(name: str, experts: int):
    """Residual stream, final LayerNorm and head of both networks as the RTL computed them."""
    dense = dense_package(31)
    image = random_image(DENSE, 31)

    def run(package: QuantisedModel) -> Checked:
        return checked_runs(ARCHS[name], package, [image])[0]

    one, other = run(dense), run(split_package(dense, experts))
    assert _same(one.comparison.got, other.comparison.got) > 1000
    assert np.all(other.comparison.got[f"{AT}.expert_scores"] == 32768 // experts)
    assert np.all(other.comparison.got[f"{AT}.queue_lengths"] == DENSE.tokens)
    assert np.array_equal(one.run.data, other.run.data)
