"""Programs come to their end on the smallest queues and rings; others are refused by who waits for what."""

from dataclasses import replace

import pytest

from hwgen.compiler.compile import compile_model
from hwgen.compiler.liveness import stuck
from hwgen.compiler.step import Step
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.isa import Counter, Opcode
from tests.compiler.programs import (
    ONE,
    PAIRS,
    check_ends,
    compiled,
    instructions,
    package,
    programs,
    steps_of,
    with_queue,
)
from tests.compiler.test_program import ahead_of


@pytest.mark.parametrize(("model", "arch"), PAIRS)
def test_programs_end(model: str, arch: str):
    check_ends(compiled(model, arch))


@pytest.mark.parametrize("load_queue", [2, 3, 7, 8, 9, 64])
def test_any_load_queue(load_queue: int):
    """More experts than the queue holds, as many, and fewer."""
    arch = with_queue("sim", load_queue)
    for program in compile_model(package("m3vit-micro"), arch).programs.values():
        ahead_of(instructions(program), load_queue)
        assert stuck(steps_of(program), arch, ONE) is None


def _without_rest_of_experts(code: list[Step]) -> list[Step]:
    """The loads behind EXPERTS moved behind the next three instructions."""
    at = next(index for index, step in enumerate(code) if step.opcode is Opcode.EXPERTS) + 1
    end = next(index for index in range(at, len(code)) if code[index].opcode is not Opcode.LOAD_WEIGHTS)
    return code[:at] + code[end : end + 3] + code[at:end] + code[end + 3 :]


def _load_behind_its_consumer(code: list[Step]) -> list[Step]:
    """The first load behind the last consumer."""
    at = next(index for index, step in enumerate(code) if step.opcode is Opcode.LOAD_WEIGHTS)
    return code[:at] + code[at + 1 : -1] + [code[at], code[-1]]


def _too_early(code: list[Step]) -> list[Step]:
    """All loads first."""
    loads = [step for step in code if step.opcode is Opcode.LOAD_WEIGHTS]
    return loads + [step for step in code if step.opcode is not Opcode.LOAD_WEIGHTS]


@pytest.mark.parametrize("spoil", [_without_rest_of_experts, _load_behind_its_consumer, _too_early])
def test_loads_in_the_wrong_place(spoil):
    arch = with_queue("sim", 3)
    code = steps_of(compile_model(package("m3vit-micro"), arch).programs["seg"])
    assert stuck(code, arch, ONE) is None
    assert stuck(spoil(code), arch, ONE) is not None


def test_a_ring_smaller_than_a_layer_is_stuck():
    """What does not fit would hang."""
    arch = ARCHS["sim-1x8x8"]
    code = steps_of(next(programs("m3vit-micro", arch.name)))
    assert stuck(code, arch) is None
    small = stuck(code, replace(arch, ring_bytes=arch.ring_bytes - arch.tile_bytes))
    assert small is not None
    assert "words of the weight_ring" in small


def _with_results(room: int) -> tuple[list[Step], int, int]:
    """m3vit-micro's program for dense results, and where its last LINEAR and its STORE are; results need ``room``."""
    code = steps_of(compiled("m3vit-micro", "sim").programs["seg"])
    linear = max(index for index, step in enumerate(code) if step.opcode is Opcode.LINEAR)
    store = next(index for index, step in enumerate(code) if step.opcode is Opcode.STORE)
    assert code[linear].fields["rows"] * code[linear].fields["out_tiles"] == room
    return code, linear, store


def test_a_load_that_waits_for_results_in_front_of_their_store():
    """The FIFO is full, the LINEAR waits for the STORE, the STORE for the load before it, the load for the LINEAR."""
    arch = ARCHS["sim"]
    code, linear, store = _with_results(room=1280)
    f = code[linear].fields
    rows = {"wait_b": int(Counter.RESULT), "wait_b_base": f["rows"]}
    load = replace(code[0], name="again", fields={**code[0].fields, **rows})
    blocked = [*code[:store], load, *code[store:]]
    small, large = replace(arch, result_beats=16), replace(arch, result_beats=2 * f["rows"] * f["out_tiles"])
    assert stuck(code, small) is None
    assert stuck(blocked, large) is None
    behind = [*code[: store + 1], load, *code[store + 1 :]]
    assert stuck(behind, small) is None
    assert stuck(blocked, small) == (
        f"again waits for RESULT {f['rows']}; {code[linear].name} waits for room for results"
    )


@pytest.mark.parametrize(("between", "ends"), [(2, True), (3, True), (4, False), (8, False)])
def test_a_store_that_is_never_dispatched(between: int, ends: bool):
    """Behind the LINEAR that waits for room, so many others that the queue of the compute unit is full."""
    arch = replace(ARCHS["sim"], result_beats=16)
    code, linear, _ = _with_results(room=1280)
    scores = next(step for step in code if step.opcode is Opcode.SCORES)
    more = [replace(scores, name=f"more.{number}") for number in range(between)]
    found = stuck([*code[: linear + 1], *more, *code[linear + 1 :]], arch)
    assert (found is None) is ends


def test_a_wait_for_what_comes_later():
    code = steps_of(compiled("m3vit-micro", "sim").programs["seg"])
    late = next(index for index, step in enumerate(code) if step.opcode is Opcode.LAYERNORM)
    fields = {**code[late].fields, "wait_b": int(Counter.HIDDEN), "wait_b_base": 1}
    found = stuck([*code[:late], replace(code[late], fields=fields), *code[late + 1 :]], ARCHS["sim"])
    assert found is not None
    assert f"{code[late].name} waits for HIDDEN 1" in found
