"""Estimated cycles of random networks against what the machine takes, with the queues of the image."""

from dataclasses import replace

import pytest

from golden.network import run_network
from hwgen.compiler.compile import compile_model
from hwgen.estimator.estimate import estimate
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.board import Board
from hwgen.spec.design import Design
from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.store.boards import board
from sim.session import simulate
from tests.emitted import verilog_of
from tests.golden.random_package import random_image, random_package
from tests.system.machines import sim_options
from tests.system.networks import TINY
from tests.system.random_networks import random_config

# A head of 1000 classes: little but weights, whose slices on two ports cross pages at different places.
WIDE_HEAD = replace(
    TINY,
    name="wide-head",
    image_height=8,
    image_width=16,
    dim=64,
    depth=1,
    heads=1,
    mlp_hidden=8,
    moe_blocks=(),
    experts=0,
    top_k=0,
    expert_hidden=0,
    tasks=(TaskConfig(name="class", kind="classification", classes=1000),),
)
# Networks whose bursts are cut at pages of the memory, and others as they come.
SEEDS = {"sim": (102, 3, 34, 103, 23, 68, 17, 18), "sim-4x8x16": (95, 8, 90, 18, 100, 36, 11, 68)}
OTHERS: dict[str, tuple[ModelConfig, ...]] = {"sim": (), "sim-4x8x16": (WIDE_HEAD,)}


def _quiet(name: str) -> Board:
    """A board whose memory never refreshes: cycles do not depend on when the run begins."""
    found = board(name)
    return replace(found, ddr=replace(found.ddr, refresh_cycles=0))


def _errors(arch_name: str, on: Board) -> dict[str, float]:
    """Network -> relative error of the estimate."""
    arch, errors = ARCHS[arch_name], dict[str, float]()
    configs = [random_config(seed, arch) for seed in SEEDS[arch_name]]
    for number, config in enumerate((*configs, *OTHERS[arch_name])):
        package, image, task = random_package(config, number), random_image(config, number), config.tasks[0].name
        compiled, verilog = compile_model(package, arch), verilog_of(arch_name)
        (run,) = simulate(verilog, arch, on, compiled, [image], [task], sim_options()).runs
        tensors = run_network(package, image, task)
        queues = {name: value.tolist() for name, value in tensors.items() if name.endswith(".queue_lengths")}
        found = estimate(Design(model=config, arch=arch, board=on), task, queues=queues).cycles
        assert run.error is None
        assert run.cycles > 2000
        errors[config.name] = found / run.cycles - 1
    print({name: f"{error:+.2%}" for name, error in errors.items()})
    return errors


@pytest.mark.parametrize("arch", SEEDS)
def test_random_networks_without_refresh(arch: str):
    """Within 0.5 %, most of them within 0.1 %."""
    errors = _errors(arch, _quiet("sim"))
    assert {name: error for name, error in errors.items() if abs(error) > 0.005} == {}
    assert sum(abs(error) < 0.001 for error in errors.values()) >= 0.75 * len(errors)


@pytest.mark.parametrize("arch", SEEDS)
def test_random_networks_with_refresh(arch: str):
    """Within 3 %, most within 1 %: a gap more or less, which depends on when the run begins, is 35 cycles."""
    errors = _errors(arch, board("sim"))
    assert {name: error for name, error in errors.items() if abs(error) > 0.03} == {}
    assert sum(abs(error) < 0.01 for error in errors.values()) >= 0.75 * len(errors)
