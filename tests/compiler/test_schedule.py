"""Programs come to their end on the smallest queues and rings; wrongly placed loads do not."""

from dataclasses import replace

import pytest

from hwgen.compiler.compile import compile_model
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.isa import Opcode
from tests.compiler.deadlock import stuck_at
from tests.compiler.programs import PAIRS, Instruction, instructions, package, programs, with_queue
from tests.compiler.test_program import ahead_of


@pytest.mark.parametrize(("model", "arch"), PAIRS)
def test_programs_end(model: str, arch: str):
    for program in programs(model, arch):
        assert stuck_at(ARCHS[arch], instructions(program)) is None


@pytest.mark.parametrize("load_queue", [2, 3, 7, 8, 9, 64])
def test_any_load_queue(load_queue: int):
    """More experts than the queue holds, as many, and fewer."""
    arch = with_queue("sim", load_queue)
    for program in compile_model(package("m3vit-micro"), arch).programs.values():
        ahead_of(instructions(program), load_queue)
        assert stuck_at(arch, instructions(program)) is None


def _without_rest_of_experts(code: list[Instruction]) -> list[Instruction]:
    """The loads behind EXPERTS moved behind the next three instructions."""
    at = next(index for index, (opcode, _) in enumerate(code) if opcode is Opcode.EXPERTS) + 1
    end = next(index for index in range(at, len(code)) if code[index][0] is not Opcode.LOAD_WEIGHTS)
    return code[:at] + code[end : end + 3] + code[at:end] + code[end + 3 :]


def _load_behind_its_consumer(code: list[Instruction]) -> list[Instruction]:
    """The first load behind the last consumer."""
    at = next(index for index, (opcode, _) in enumerate(code) if opcode is Opcode.LOAD_WEIGHTS)
    return code[:at] + code[at + 1 : -1] + [code[at], code[-1]]


def _too_early(code: list[Instruction]) -> list[Instruction]:
    """All loads first."""
    loads = [item for item in code if item[0] is Opcode.LOAD_WEIGHTS]
    return loads + [item for item in code if item[0] is not Opcode.LOAD_WEIGHTS]


@pytest.mark.parametrize("spoil", [_without_rest_of_experts, _load_behind_its_consumer, _too_early])
def test_the_simulation_finds_deadlocks(spoil):
    arch = with_queue("sim", 3)
    program = compile_model(package("m3vit-micro"), arch).programs["seg"]
    code = instructions(program)
    assert stuck_at(arch, code) is None
    assert stuck_at(arch, spoil(code)) is not None


def test_a_ring_smaller_than_a_layer_is_stuck():
    """What allocate refuses would hang."""
    arch = ARCHS["sim-1x8x8"]
    code = instructions(next(programs("m3vit-micro", arch.name)))
    assert stuck_at(arch, code) is None
    assert stuck_at(replace(arch, ring_bytes=arch.ring_bytes - arch.tile_bytes), code) is not None
