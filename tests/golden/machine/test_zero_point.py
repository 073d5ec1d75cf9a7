"""Zero points of hidden units on the golden machine: lanes past the last unit hold one, too, and count for nothing."""

from dataclasses import replace

import numpy as np
import pytest

from golden.network import run_network
from hwgen.compiler.compile import compile_model
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.package import QuantisedModel
from tests.golden.random_package import MINI, changed, random_image, random_package
from tests.golden.test_compiled import named_tensors, run

ZEROS = (-127, -1, 0, 1, 127)


def package_with(zero: int, hidden: int, expert_hidden: int) -> QuantisedModel:
    """A dense block and one of experts, their hidden units of these numbers and of this zero point."""
    config = replace(MINI, image_width=32, mlp_hidden=hidden, expert_hidden=expert_hidden)
    package = random_package(config, hidden)
    return changed(package, **{name: np.array([zero], np.int8) for name in package.arrays if name.endswith(".zero")})


@pytest.mark.parametrize("zero", ZEROS)
@pytest.mark.parametrize(("hidden", "expert_hidden"), [(1, 1), (9, 17), (24, 40), (64, 32)])
@pytest.mark.parametrize("name", ["sim-1x8x8", "sim"])
def test_padding_holds_the_zero_point_and_never_contributes(name: str, hidden: int, expert_hidden: int, zero: int):
    """Whole words of rows are compared: units as the network has them, padding as the instruction says."""
    package, arch = package_with(zero, hidden, expert_hidden), ARCHS[name]
    compiled, image = compile_model(package, arch), random_image(package.config)
    assert set(package.zeros.values()) == {zero}
    expected = run_network(package, image, "seg")
    machine, codes = run(compiled, image, "seg")
    assert np.array_equal(codes, expected["heads.seg"])
    found = named_tensors(compiled, "seg", machine)
    for tensor in ("blocks.0.hidden", "blocks.0.mlp", "blocks.1.moe"):
        assert np.array_equal(found[tensor], expected[tensor]), tensor
    written = [entry.tensor for entry in machine.trace if entry.name == "hidden" and len(entry.rows)]
    assert len(written) > 1
    for rows, units in zip(written, (hidden, *(expert_hidden for _ in written[1:])), strict=True):
        assert rows.shape[1] == arch.words(units) * arch.output_lanes
        assert (rows[:, units:] == zero).all()


def test_a_zero_point_of_0_says_nothing_in_a_program():
    """Programs and listings of packages without zero points are those of before there were any."""
    with_zero, without = (compile_model(package_with(zero, 24, 40), ARCHS["sim"]) for zero in (-5, 0))
    fields = [
        [entry.fields for entry in x.programs["seg"].listing if "gelu_mult" in entry.fields]
        for x in (with_zero, without)
    ]
    assert [f.get("zero") for f in fields[0]] == [-5, -5]
    assert [f.get("zero") for f in fields[1]] == [None, None]
    same = [
        word == other
        for word, other in zip(with_zero.programs["seg"].words, without.programs["seg"].words, strict=True)
    ]
    assert same.count(False) == 2
