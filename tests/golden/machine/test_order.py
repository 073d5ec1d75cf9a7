"""What orders two accesses and what does not: every rule has a program that breaks it, beside the nearest good one.

The programs are too short to compute anything: the order of a program follows from its instructions alone.
"""

import numpy as np
import pytest

from golden.machine.machine import GoldenMachine
from golden.machine.progress import IllegalProgramError
from golden.network import run_network
from hwgen.spec.isa import Counter, Destination, Opcode, Source
from tests.golden.hand_program import HandProgram
from tests.golden.machine.short_programs import (
    ARCH,
    ATTENTION,
    KEYED,
    NORMED,
    ONE_LANE,
    ROWS,
    TABLES_FIRST,
    TO_QUERY,
    UPDATED,
    WORDS,
    Step,
    add,
    behind,
    context,
    experts,
    follow,
    gate,
    linear,
    norm,
    patches,
    position,
    scores,
    step,
    table,
)
from tests.golden.random_package import MINI, random_image, random_package

SELF = {"source": Source.ACTIVATION, "src_base": 20}
IN_PLACE = [*NORMED, linear(Destination.QUERY, Counter.NORM, dst_base=20)]

# name -> (program, what it ends with in order, what it ends with out of order, the message)
PAIRS: dict[str, tuple[list[Step], list[Step], list[Step], str]] = {
    "norm rows not read yet": (
        KEYED,
        [norm(**behind(Counter.KEY, ROWS))],
        [norm()],
        r"pc 8: LAYERNORM writes norm row 0 \(word 0\) before LINEAR at pc 7 has read it",
    ),
    "the tile of a counted row has been read": (
        KEYED,
        [norm(**behind(Counter.KEY, ROWS - 1))],
        [norm(**behind(Counter.KEY, ROWS - 2))],
        r"pc 8: LAYERNORM writes norm row 4 \(word 8\) before LINEAR at pc 7 has read it",
    ),
    "norm rows moved onto others": (
        KEYED,
        [norm(dst_base=ROWS * WORDS)],
        [norm(dst_base=ROWS * WORDS - 1)],
        r"pc 8: LAYERNORM writes norm row 0 \(word 11\) before LINEAR at pc 7 has read it",
    ),
    "norm rows not written yet": (
        NORMED,
        [linear(Destination.KEY, Counter.NORM)],
        [linear(Destination.KEY, Counter.RESIDUAL)],
        r"pc 7: LINEAR reads norm row 0 \(word 0\) before LAYERNORM at pc 6 has written it",
    ),
    "norm rows one row early": (
        NORMED,
        [linear(Destination.KEY, Counter.NORM, rows=ROWS - 1, src_base=WORDS, wait_a_base=1)],
        [linear(Destination.KEY, Counter.NORM, rows=ROWS - 1, src_base=WORDS)],
        r"pc 7: LINEAR reads norm row 0 \(word 2\) before LAYERNORM",
    ),
    "keys not written yet": (
        ATTENTION,
        [scores()],
        [scores(wait_b=0)],
        r"pc 10: SCORES reads key row 0 \(word 0\) before LINEAR at pc 8",
    ),
    "keys that nobody reads": (
        ATTENTION,
        [scores(wait_b=0, wait_a=0, mult=0)],
        [scores(wait_b=0, wait_a=0, mult=1)],
        r"pc 10: SCORES reads activation row 0",
    ),
    "scores and row factors not written yet": (
        [*ATTENTION, scores()],
        [context()],
        [context(wait_a=0)],
        r"pc 11: CONTEXT reads score row 0 \(word 0\) before SCORES at pc 10",
    ),
    "row factors are stored behind the scores": (
        [*ATTENTION, scores(), linear(Destination.VALUE, Counter.NORM, dst_base=50)],
        [context()],
        [context(wait_a=Counter.VALUE, wait_a_base=ROWS)],
        r"pc 12: CONTEXT reads row_factor row 0 \(word 0\) before SCORES at pc 10",
    ),
    "residual rows that a LayerNorm has not read": (
        [*TABLES_FIRST, position(), patches(), norm()],
        [linear(Destination.RESIDUAL, Counter.PATCH, **behind(Counter.NORM, ROWS))],
        [linear(Destination.RESIDUAL, Counter.PATCH, **behind(Counter.NORM, ROWS - 1))],
        r"pc 8: LINEAR writes residual row 5 \(word 10\) before LAYERNORM at pc 7 has read it",
    ),
    "a row behind its own tile": (
        IN_PLACE,
        [linear(Destination.QUERY, Counter.QUERY, **SELF, dst_base=20 - WORDS)],
        [linear(Destination.QUERY, Counter.QUERY, **SELF, dst_base=20 + WORDS)],
        r"pc 8: LINEAR writes activation row 1 \(word 24\) before LINEAR at pc 8 has read it",
    ),
    "rows that overlap": (
        NORMED,
        [linear(Destination.QUERY, Counter.NORM)],
        [linear(Destination.QUERY, Counter.NORM, dst_stride=1)],
        "pc 7: LINEAR writes rows of 2 words, 1 apart, to the activation buffer",
    ),
    "IO behind POST, another word": (
        [*NORMED, TO_QUERY],
        [patches(**behind(Counter.QUERY, ROWS))],
        [patches(**behind(Counter.QUERY, ROWS - 1))],
        "pc 8: LOAD_PATCHES writes to the activation buffer while LINEAR at pc 7 may: they share a port",
    ),
    "POST behind IO, another word": (
        [*NORMED, patches()],
        [linear(Destination.QUERY, Counter.NORM, **behind(Counter.PATCH, ROWS))],
        [linear(Destination.QUERY, Counter.NORM, **behind(Counter.PATCH, ROWS - 2))],
        "pc 8: LINEAR writes to the activation buffer while LOAD_PATCHES at pc 7 may",
    ),
    "a band is counted at once": (
        [*NORMED, patches()],
        [linear(Destination.QUERY, Counter.NORM, **behind(Counter.PATCH, ROWS - 1))],
        [linear(Destination.QUERY, Counter.NORM, **behind(Counter.PATCH, ROWS - 2))],
        "pc 8: LINEAR writes to the activation buffer while LOAD_PATCHES at pc 7 may",
    ),
    "positions behind POST": (
        UPDATED,
        [position(dst_base=50, **behind(Counter.RESIDUAL, 2 * ROWS))],
        [position(dst_base=50)],
        "pc 8: LOAD_POSITION writes to the residual buffer while LINEAR at pc 7 may",
    ),
    "positions behind all that was stored": (
        [*NORMED, linear(Destination.RESULT, Counter.NORM)],
        [step(Opcode.STORE, beats=24), position()],
        [step(Opcode.STORE, beats=22), position()],
        r"pc 9: LOAD_POSITION writes residual row 4 \(word 8\) before LAYERNORM at pc 6 has read it",
    ),
    "tokens that are not queued": (
        [*NORMED, gate()],
        [experts()],
        [experts(wait_b_base=ROWS - 1)],
        "pc 8: EXPERTS uses the token queues before LINEAR at pc 7 has filled it",
    ),
    "rows that experts have not left": (
        [*NORMED, gate(), experts()],
        [norm(base=ROWS)],
        [norm()],
        r"pc 9: LAYERNORM reads residual row 0 \(word 0\) before EXPERTS at pc 8 has written it",
    ),
    "all rows of experts are counted at once": (
        [*NORMED, gate(), experts()],
        [norm(wait_a=0, **behind(Counter.RESIDUAL, ROWS + 1))],
        [norm(wait_a=0, **behind(Counter.RESIDUAL, ROWS))],
        r"pc 9: LAYERNORM reads residual row 0 \(word 0\) before EXPERTS at pc 8 has written it",
    ),
    "keys are read as a whole": (
        ATTENTION,
        [scores(wait_b=0, wait_a=Counter.VALUE)],
        [scores(wait_b=0, wait_a=Counter.KEY)],
        r"pc 10: SCORES reads key row 1 \(word 0\) before LINEAR at pc 8 has written it",
    ),
    "queries are taken one by one": (
        [*ATTENTION, scores()],
        [patches(dst_base=0, **behind(Counter.SCORE, ROWS))],
        [patches(dst_base=0, **behind(Counter.SCORE, ROWS - 1))],
        r"pc 11: LOAD_PATCHES writes activation row 2 \(word 10\) before SCORES at pc 10 has read it",
    ),
    "norm rows that overlap": (
        [*NORMED, norm(dst_base=50, dst_stride=1)],
        [linear(Destination.KEY, Counter.NORM, ROWS, src_base=50, src_stride=1, **behind(Counter.NORM, 2 * ROWS))],
        [linear(Destination.KEY, Counter.NORM, ROWS, src_base=50, src_stride=1)],
        r"pc 8: LINEAR reads norm row 0 \(word 51\) before LAYERNORM at pc 7 has written it",
    ),
    "POST row by row behind IO": (
        [*NORMED, patches()],
        [linear(Destination.QUERY, Counter.PATCH, **behind(Counter.PATCH, ROWS))],
        [linear(Destination.QUERY, Counter.PATCH)],
        "pc 8: LINEAR writes to the activation buffer while LOAD_PATCHES at pc 7 may",
    ),
    "a table between positions": (
        [table("rsqrt"), position(rows=3), table("rsqrt"), position(rows=3, dst_base=3 * WORDS)],
        [norm(**behind(Counter.RESIDUAL, 4))],
        [norm()],
        "pc 4: LAYERNORM uses the rsqrt table before LOAD_TABLE at pc 2 has filled it",
    ),
    "additions to the last rows": (
        UPDATED,
        [add(rows=1, in_chunks=1, out_tiles=1)],
        [add(rows=1, in_chunks=1, out_tiles=1, dst_base=ROWS * WORDS - 1)],
        r"adds to residual row 0 \(word 11\) 1 cycles behind LINEAR at pc 7",
    ),
    "queues that are filled again": (
        [*NORMED, gate(), experts(), gate()],
        [experts(wait_b_base=2 * ROWS)],
        [experts()],
        "pc 10: EXPERTS uses the token queues before LINEAR at pc 9 has filled it",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_orders_two_accesses(name: str):
    program, good, bad, message = PAIRS[name]
    follow([*program, *good])
    with pytest.raises(IllegalProgramError, match=message):
        follow([*program, *bad])


# table -> (program, one that uses it, the count that says that it has been used)
USERS: dict[str, tuple[list[Step], Step, Counter]] = {
    "rsqrt": ([*TABLES_FIRST, position()], norm(), Counter.NORM),
    "gelu": (NORMED, linear(Destination.HIDDEN, Counter.NORM), Counter.HIDDEN),
    "gate_exp2": (NORMED, gate(), Counter.GATE),
    "exp2": (ATTENTION, scores(), Counter.SCORE),
    "reciprocal": (ATTENTION, scores(), Counter.SCORE),
    "reciprocal of the gate": (NORMED, gate(), Counter.GATE),
}


@pytest.mark.parametrize("name", USERS)
def test_a_table_is_loaded_again_behind_its_users(name: str):
    program, user, counter = USERS[name]
    name = name.split()[0]
    follow([*program, user, table(name, **behind(counter, ROWS))])
    for wait in (behind(counter, ROWS - 1), {}):
        with pytest.raises(IllegalProgramError, match=f"LOAD_TABLE fills the {name} table before .* has used it"):
            follow([*program, user, table(name, **wait)])


@pytest.mark.parametrize("name", ["gate_exp2", "exp2", "reciprocal", "reciprocal of the gate"])
def test_tables_are_used_behind_the_post_processor(name: str):
    """Its count of later rows says nothing of softmax and gate; neither do those of each other."""
    program, user, counter = USERS[name]
    name = name.split()[0]
    later = linear(Destination.VALUE, Counter.NORM, dst_base=50)
    count = sum(fields.get("destination") == Destination.VALUE for _, fields in [*program, later]) * ROWS
    with pytest.raises(IllegalProgramError, match=f"LOAD_TABLE fills the {name} table"):
        follow([*program, user, later, table(name, **behind(Counter.VALUE, count))])
    follow([*program, user, later, table(name, **behind(counter, ROWS))])


def test_probabilities_use_the_table_of_exponentials():
    program = [*ATTENTION, scores(), context()]
    follow([*program, table("exp2", **behind(Counter.CONTEXT, ROWS))])
    with pytest.raises(IllegalProgramError, match="fills the exp2 table before CONTEXT at pc 11 has used it"):
        follow([*program, table("exp2", **behind(Counter.SCORE, ROWS))])


def test_a_table_is_there_when_something_behind_it_is():
    """LOAD_TABLE counts nothing: whoever uses a table waits for what IO does next."""
    follow([table("rsqrt"), position(), norm()])
    with pytest.raises(IllegalProgramError, match="LAYERNORM uses the rsqrt table before LOAD_TABLE at pc 1"):
        follow([position(), table("rsqrt"), norm()])


@pytest.mark.parametrize(
    ("tiles", "chunks", "cycles"),
    [(4, 1, 4), (5, 1, 5), (1, 4, 4), (1, 5, 5), (2, 2, 4)],
)
def test_two_additions_to_one_row(tiles: int, chunks: int, cycles: int):
    """One row on one lane: a word comes again as many cycles later as a row takes."""
    shape = {"rows": 1, "out_tiles": tiles, "in_chunks": chunks}
    follow([*NORMED, add(**shape), add(**shape, **behind(Counter.RESIDUAL, ROWS + 1))], ONE_LANE)
    if cycles >= 5:
        follow([*NORMED, add(**shape), add(**shape)], ONE_LANE)
        return
    with pytest.raises(IllegalProgramError, match=rf"adds to residual row 0 \(word 0\) {cycles} cycles behind LINEAR"):
        follow([*NORMED, add(**shape), add(**shape)], ONE_LANE)


@pytest.mark.parametrize(
    ("tiles", "rows", "good"),
    [(2, (0, 0), False), (3, (0, 0), True), (2, (1, 0), True), (2, (0, 1), False), (3, (0, 1), True)],
)
def test_lanes_of_a_tile_leave_one_after_the_other(tiles: int, rows: tuple[int, int], good: bool):
    """A tile of two rows takes two cycles; what was row 1 and becomes row 0 comes one cycle earlier, or later."""
    shape = {"rows": 2, "out_tiles": tiles, "in_chunks": 2, "dst_stride": 10}
    steps = [*NORMED, add(**shape, dst_base=10 * rows[0]), add(**shape, dst_base=10 * rows[1])]
    if good:
        follow(steps)
        return
    with pytest.raises(IllegalProgramError, match="adds to residual row"):
        follow(steps)


def test_experts_may_add_right_behind_a_layer():
    """But a layer right behind experts, whose last tokens may have been few, waits."""
    short = {"rows": 1, "out_tiles": 1, "in_chunks": 1}
    follow([*NORMED, gate(), add(**short), experts()])
    with pytest.raises(IllegalProgramError, match=r"adds to residual row 0 .* behind EXPERTS at pc 8"):
        follow([*NORMED, gate(), experts(), add(**short)])
    follow([*NORMED, gate(), experts(), add(**short, **behind(Counter.RESIDUAL, 2 * ROWS))])


PACKAGE, IMAGE = random_package(MINI), random_image(MINI)


def run(program: HandProgram) -> np.ndarray:
    memory, pointers = program.memory(IMAGE)
    GoldenMachine(program.arch, memory).run(**pointers)
    return program.result(memory, pointers["result"])


def test_the_golden_machine_refuses_what_is_unordered():
    """What it would compute is right, one instruction after the other."""
    program = HandProgram(PACKAGE, "seg", ARCH)
    expected = run_network(PACKAGE, IMAGE, "seg")["heads.seg"]
    codes = [opcode for opcode, _ in program.instructions]
    root = next(item for item in program.instructions if item[0] == Opcode.LOAD_TABLE and item[1]["table"] == 3)
    at = len(codes) - codes[::-1].index(Opcode.LAYERNORM)
    again = (root[0], {**root[1], **behind(Counter.NORM, program.count[Counter.NORM])})
    program.instructions.insert(at, again)
    assert np.array_equal(run(program), expected)
    program.instructions[at] = root
    with pytest.raises(IllegalProgramError, match=f"at pc {at}: LOAD_TABLE fills the rsqrt table before LAYERNORM at"):
        run(program)
    del program.instructions[at]
    experts_fields = program.instructions[codes.index(Opcode.EXPERTS)][1]
    experts_fields["wait_b_base"] -= 1
    with pytest.raises(IllegalProgramError, match="EXPERTS uses the token queues before LINEAR"):
        run(program)
