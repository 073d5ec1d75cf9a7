"""Results that do not fit: what may stand between a LINEAR and its STORE, and what makes them wait for each other."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from golden.machine.liveness import COMPUTE_BEHIND, Drain, ResultFifo, word_bytes
from golden.machine.machine import GoldenMachine
from golden.machine.progress import IllegalProgramError
from golden.machine.state import MachineState
from golden.network import run_network
from hwgen.rtl.io.result_store import ResultStore
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.choices import QUEUE_DEPTH, RESULT_ROWS
from hwgen.spec.encoding import decode, encode
from hwgen.spec.isa import Counter, Destination, Opcode, Unit
from hwgen.spec.presets import M3VIT_MICRO
from tests.golden.hand_program import HandProgram, small_arch
from tests.golden.random_package import random_image, random_package

ARCH = replace(small_arch((2, 8, 16)), result_beats=16, burst_beats=8, load_queue=2)
FIFO = ResultFifo.of(ARCH)  # 8 words; 68 when a tile is still issued
TILES = 4  # output tiles of a row, so that a row has four words
Step = tuple[Opcode, dict[str, int]]


@pytest.mark.parametrize("arch", [*ARCHS.values(), ARCH, replace(ARCH, output_lanes=64, token_lanes=16)], ids=str)
def test_the_fifo_is_that_of_the_machine(arch):
    """Also: a burst is there before the rows that could fill it are held up."""
    store, fifo = ResultStore(arch), ResultFifo.of(arch)
    assert (fifo.depth, fifo.burst, word_bytes(arch)) == (store.depth_words, store.burst_words, 16 * store.word_beats)
    assert fifo.full == fifo.depth + RESULT_ROWS - 2 * arch.token_lanes >= fifo.burst


def step(opcode: Opcode, **fields: int) -> Step:
    return opcode, {name: int(value) for name, value in fields.items()}


def store(words: int, **fields: int) -> Step:
    return step(Opcode.STORE, beats=words * word_bytes(ARCH) // 16, **fields)


def table(counter: Counter, base: int) -> Step:
    return step(Opcode.LOAD_TABLE, words=4, wait_b=counter, wait_b_base=base)


def norm(counter: Counter, base: int) -> Step:
    return step(Opcode.LAYERNORM, wait_a=counter, wait_a_base=base, rows=2, words=1, channels=8)


def compute(count: int) -> list[Step]:
    return [step(Opcode.LINEAR, rows=2, destination=Destination.KEY)] * count


def load(words: int, **fields: int) -> Step:
    return step(Opcode.LOAD_WEIGHTS, weight_words=words, norm_entries=1, **fields)


def check(rows: int, behind: list[Step], held: int = 0, norms: int = 8) -> None:
    """A LINEAR of ``rows`` at pc 10, behind two counted residual rows."""
    state = MachineState(ARCH, lambda: False)
    state.progress.advance(Counter.RESIDUAL, 2)
    state.norms.put(np.zeros((norms, 1), dtype=np.uint8))

    def ahead() -> Iterator[tuple[int, Opcode, dict[str, int]]]:
        for pc, (opcode, fields) in enumerate(behind):
            yield pc + 11, *decode(encode(opcode, **fields))

    fields = {"rows": rows, "out_tiles": TILES}
    Drain(ARCH, state.progress, state.rings, state.loader).check(10, fields, held, ahead())


ALL = 4 * 40


def test_results_that_fit_need_no_store():
    assert ResultFifo(depth=8, burst=4, full=68) == FIFO
    check(17, [])  # eight tiles of rows with eight words, and a row with four
    check(1, [], held=65)
    with pytest.raises(IllegalProgramError, match=r"pc 10: LINEAR waits .* holds 70 words.*; nothing comes behind"):
        check(18, [])
    with pytest.raises(IllegalProgramError, match="which holds 69 words"):
        check(1, [], held=66)


# what is behind a LINEAR of 40 rows: good, bad, message
PAIRS: dict[str, tuple[list[Step], list[Step], str]] = {
    "a store": ([store(ALL)], [store(70)], "nothing comes behind"),
    "two stores": ([store(70), store(30)], [store(70), store(17)], "nothing comes behind"),
    "a full queue of the compute unit": (
        [*compute(COMPUTE_BEHIND), store(ALL)],
        [*compute(COMPUTE_BEHIND + 1), store(ALL)],
        f"LINEAR at pc {11 + COMPUTE_BEHIND} finds no room in the queue of COMPUTE",
    ),
    "a table that waits for rows behind it": (
        [table(Counter.RESULT, 16), store(ALL)],
        [table(Counter.RESULT, 18), store(ALL)],
        "LOAD_TABLE at pc 11 waits for RESULT 18, counted behind it",
    ),
    "a table that waits for who waits": (
        [*compute(1), store(ALL), table(Counter.KEY, 2)],
        [*compute(1), table(Counter.KEY, 2), store(ALL)],
        "LOAD_TABLE at pc 12 waits for KEY 2",
    ),
    "a table that waits for a LayerNorm": (
        [table(Counter.NORM, 0), norm(Counter.RESIDUAL, 0), table(Counter.NORM, 2), store(ALL)],
        [norm(Counter.RESULT, 17), table(Counter.NORM, 2), store(ALL)],
        "LOAD_TABLE at pc 12 waits for NORM 2, counted behind it; LAYERNORM at pc 11 waits for RESULT 19",
    ),
    "a full queue of IO": (
        [*[table(Counter.NORM, 2)] * (QUEUE_DEPTH[Unit.IO] + 1), norm(Counter.RESIDUAL, 0), store(ALL)],
        [*[table(Counter.NORM, 2)] * (QUEUE_DEPTH[Unit.IO] + 2), norm(Counter.RESIDUAL, 0), store(ALL)],
        "LOAD_TABLE at pc 20 finds no room in the queue of IO",
    ),
    "LayerNorms that wait": (
        [*[norm(Counter.RESULT, 38)] * QUEUE_DEPTH[Unit.NORM], store(ALL)],
        [*[norm(Counter.RESULT, 38)] * (QUEUE_DEPTH[Unit.NORM] + 1), store(ALL)],
        "LAYERNORM at pc 15 finds no room in the queue of NORM",
    ),
    "a LayerNorm whose parameters are behind it": (
        [*[load(1)] * 2, *[norm(Counter.RESIDUAL, 0)] * 10, table(Counter.NORM, 20), store(ALL)],
        [*[load(1)] * 1, *[norm(Counter.RESIDUAL, 0)] * 10, table(Counter.NORM, 20), store(ALL)],
        "LAYERNORM at pc 21 waits for parameters",
    ),
    "loads that find no room": (
        [*[load(2000)] * 2, store(ALL)],
        [*[load(2000)] * 3, store(ALL)],
        "LOAD_WEIGHTS at pc 13 finds no room in the queue of LOAD",
    ),
    "loads that fill a ring": (
        [*[load(500)] * 3, store(ALL)],
        [*[load(500)] * 4, store(ALL)],
        "LOAD_WEIGHTS at pc 14 finds no room in the queue of LOAD",
    ),
    "a table that waits for rows of two": (
        [norm(Counter.RESIDUAL, 0), norm(Counter.NORM, 0), table(Counter.NORM, 4), store(ALL)],
        [norm(Counter.RESIDUAL, 0), table(Counter.NORM, 4), store(ALL), norm(Counter.RESULT, 38)],
        "LOAD_TABLE at pc 12 waits for NORM 4",
    ),
    "a load that waits for rows behind it": (
        [load(1, wait_b=Counter.RESULT, wait_b_base=2), *[load(1)] * 9, store(ALL)],
        [load(1, wait_b=Counter.RESULT, wait_b_base=40), *[load(1)] * 2, store(ALL)],
        "LOAD_WEIGHTS at pc 13 finds no room in the queue of LOAD",
    ),
    "a store that waits for what it makes possible": (
        [store(ALL, wait_b=Counter.RESULT, wait_b_base=16)],
        [store(ALL, wait_b=Counter.RESULT, wait_b_base=40)],
        "STORE at pc 11 waits for RESULT 40",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_stands_between_results_and_their_store(name: str):
    good, bad, message = PAIRS[name]
    check(40, good)
    with pytest.raises(IllegalProgramError, match=message):
        check(40, bad)


PACKAGE, IMAGE = random_package(M3VIT_MICRO), random_image(M3VIT_MICRO)


def hand_program(*behind: Step) -> HandProgram:
    """m3vit-micro on a short FIFO; ``behind`` comes between the last LINEAR and STORE."""
    program = HandProgram(PACKAGE, "seg", replace(small_arch((2, 8, 16)), result_beats=16))
    at = next(pc for pc, (opcode, _) in enumerate(program.instructions) if opcode == Opcode.STORE)
    program.instructions[at:at] = behind
    return program


def run(program: HandProgram) -> np.ndarray:
    memory, pointers = program.memory(IMAGE)
    GoldenMachine(program.arch, memory).run(**pointers)
    return program.result(memory, pointers["result"])


def test_the_golden_machine_refuses_what_hangs():
    """It would store the results in the end, one instruction after the other."""
    expected = run_network(PACKAGE, IMAGE, "seg")["heads.seg"]
    scores = step(Opcode.SCORES, rows=1, keys=1, in_chunks=1)  # of nothing: the multiplier is zero
    assert np.array_equal(run(hand_program()), expected)
    assert np.array_equal(run(hand_program(*[scores] * COMPUTE_BEHIND)), expected)
    with pytest.raises(IllegalProgramError, match=r"SCORES at pc .* finds no room in the queue of COMPUTE"):
        run(hand_program(*[scores] * (COMPUTE_BEHIND + 1)))
    gelu = next(
        fields for opcode, fields in hand_program().instructions if opcode == Opcode.LOAD_TABLE and fields["table"]
    )
    wait = {**gelu, "wait_b": Counter.RESULT}
    assert np.array_equal(run(hand_program(step(Opcode.LOAD_TABLE, **wait, wait_b_base=2))), expected)
    with pytest.raises(IllegalProgramError, match=r"LOAD_TABLE at pc .* waits for RESULT 64, counted behind it"):
        run(hand_program(step(Opcode.LOAD_TABLE, **wait, wait_b_base=64)))
    program = hand_program()
    del program.instructions[-2]
    with pytest.raises(IllegalProgramError, match="until they are stored; nothing comes behind"):
        run(program)
