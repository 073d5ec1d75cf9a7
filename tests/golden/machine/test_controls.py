"""Compiler and golden machine judge programs by their own readings of the law: what one finds, both find."""

from dataclasses import replace

import pytest

from golden.machine.order import Order
from golden.machine.progress import IllegalProgramError
from hwgen.compiler.compile import scheduled
from hwgen.compiler.hazards import checked
from hwgen.compiler.step import Step
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.graph import Network
from hwgen.spec.isa import Opcode
from tests.compiler.programs import CONFIGS
from tests.golden.random_graphs import random_graph
from tests.golden.small_machines import SMALL

SIM = ARCHS["sim"]


def golden_finds(steps: list[Step], arch: ArchConfig) -> int | None:
    """The instruction that the golden machine refuses first."""
    order = Order(arch)
    for pc, step in enumerate(steps):
        try:
            order.follow(pc, step.opcode, step.every)
        except IllegalProgramError as error:
            return error.pc
    return None


def compiler_finds(steps: list[Step], arch: ArchConfig) -> int | None:
    """The instruction that the compiler refuses first."""
    found = checked(steps, arch, repair=False).hazards
    return min((hazard.second for hazard in found), default=None)


def steps_of(network: Network, task: str, arch: ArchConfig) -> list[Step]:
    return scheduled(network, arch, [task], lambda name: [1] * network.arrays[name].shape[0])[1][task]


def program(model: str) -> list[Step]:
    network = CONFIGS[model].network
    return steps_of(network, network.tasks[0], SIM)


@pytest.mark.parametrize("model", ["m3vit-micro", "one-head"])
def test_every_wait_removed(model: str):
    """One by one; both find the same ones, in the same instruction."""
    steps = program(model)
    found = 0
    for number, step in enumerate(steps):
        for wait in ("wait_a", "wait_b"):
            if step.every.get(wait) and step.opcode is not Opcode.LOAD_WEIGHTS:
                bare = [*steps[:number], replace(step, fields={**step.fields, wait: 0}), *steps[number + 1 :]]
                here = compiler_finds(bare, SIM)
                assert golden_finds(bare, SIM) == here, (step.name, wait)
                found += here is not None
    assert found == {"m3vit-micro": 39, "one-head": 19}[model]


def test_lists_without_the_waits_that_were_added():
    """What the layers say themselves is not enough for some; with the waits, both are content."""
    programs, removed = 0, 0
    for seed in range(12):
        arch = list(SMALL.values())[seed % len(SMALL)]
        network = random_graph(seed, arch, crossed=True).network
        for task in network.tasks:
            steps = steps_of(network, task, arch)
            assert golden_finds(steps, arch) is compiler_finds(steps, arch) is None
            programs += 1
            for number, step in enumerate(steps):
                if step.opcode in (Opcode.LAYERNORM, Opcode.LOAD_PATCHES) and step.every["wait_b"]:
                    bare = [*steps[:number], replace(step, fields={**step.fields, "wait_b": 0}), *steps[number + 1 :]]
                    assert golden_finds(bare, arch) == compiler_finds(bare, arch) == number
                    removed += 1
    assert programs >= 12
    assert removed == 6


def test_regions_moved_onto_each_other():
    """Every tensor onto every other. Where the readers of both are in order all the same, only the values are wrong."""
    steps = program("one-head")
    writers = [
        number
        for number, step in enumerate(steps)
        if step.opcode in (Opcode.LINEAR, Opcode.CONTEXT, Opcode.LAYERNORM, Opcode.LOAD_PATCHES, Opcode.LOAD_POSITION)
    ]
    judged, found = 0, 0
    for number in writers:
        step = steps[number]
        for base in sorted({steps[other].every.get("dst_base", 0) + move for other in writers for move in (0, 1, 40)}):
            moved = replace(step, fields={**step.fields, "dst_base": base})
            changed = [*steps[:number], moved, *steps[number + 1 :]]
            here = compiler_finds(changed, SIM)
            assert golden_finds(changed, SIM) == here, (step.name, base)
            judged, found = judged + 1, found + (here is not None)
    assert (judged, found) == (189, 8)
