"""Rings and loader: order, space, and loads that can never finish."""

from dataclasses import replace

import numpy as np
import pytest

from golden.machine.machine import GoldenMachine
from golden.machine.progress import IllegalProgramError
from golden.machine.rings import Loader, Ring
from hwgen.spec.isa import Opcode
from tests.golden.hand_program import HandProgram, small_arch
from tests.golden.random_package import MINI, random_image, random_package


def words(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint8)[:, None]


def test_words_come_in_order_and_wait_for_space():
    first, second, loader = Ring("first", 3), Ring("second", 2), Loader(lambda: False)
    loader.start([(first, words(1, 2)), (second, words(10, 11, 12))])
    loader.start([(first, words(3))])
    assert (first.words, second.words, loader.waiting) == (2, 2, 2)  # word 3 has space but comes behind word 12
    assert second.take(1).tolist() == [[10]]
    loader.fill()
    assert (first.words, second.words, loader.waiting) == (3, 2, 0)
    assert first.take(3).tolist() == [[1], [2], [3]]
    assert second.take(2).tolist() == [[11], [12]]
    assert (first.words, second.words) == (0, 0)


def run(program: HandProgram) -> None:
    memory, pointers = program.memory(random_image(MINI))
    GoldenMachine(program.arch, memory).run(**pointers)


def loads_first(program: HandProgram) -> None:
    """All loads before everything else."""
    program.instructions.sort(key=lambda item: item[0] != Opcode.LOAD_WEIGHTS)


def test_loads_far_ahead_fit_in_a_large_queue_and_block_a_small_one():
    """The same program, with all of its loads first: legal only while the queue holds what the rings cannot."""
    arch = small_arch((4, 8, 16))
    program = HandProgram(random_package(MINI), "seg", arch)
    loads_first(program)
    small = replace(arch, load_queue=2, param_entries=16)
    program.arch = replace(arch, load_queue=32, param_entries=16)
    run(program)
    program.arch = small
    with pytest.raises(IllegalProgramError, match="3 loads wait for space, the queue holds 2"):
        run(program)


def test_a_layer_that_does_not_fit_in_the_ring():
    """Six rows on four lanes read the weights twice; one row reads them once and streams through a small ring."""
    small = replace(small_arch((4, 8, 16)), ring_bytes=8 * 16 * 20)
    program = HandProgram(random_package(MINI), "seg", small)
    with pytest.raises(
        IllegalProgramError, match="LINEAR needs 48 words of the weight ring, which holds 20 of 20 with"
    ):
        run(program)
    config_rows = 8  # as many lanes as rows: every layer streams
    wide = replace(small_arch((config_rows, 8, 16)), ring_bytes=8 * 16 * 20)
    run(HandProgram(random_package(MINI), "seg", wide))


def test_loads_that_nobody_consumes_block_the_end():
    program = HandProgram(random_package(MINI), "seg", small_arch((4, 8, 16)))
    load = next(item for item in program.instructions if item[0] == Opcode.LOAD_WEIGHTS)
    for _ in range(20):
        program.instructions.insert(-1, load)
    with pytest.raises(IllegalProgramError, match=r"END with .* loads that wait for space"):
        run(program)
