"""What orders two accesses and what does not: every rule has a program that breaks it, beside the nearest good one.

The programs are too short to compute anything: the order of a program follows from its instructions alone.
"""

import numpy as np
import pytest

from golden.machine.machine import GoldenMachine
from golden.machine.order import Order
from golden.machine.progress import IllegalProgramError
from golden.machine.promises import Promises, UnorderedError
from golden.machine.stages import Stage, nothing
from golden.network import run_network
from hwgen.spec.arch import ArchConfig
from hwgen.spec.encoding import decode, encode
from hwgen.spec.isa import Counter, Destination, Opcode, Source
from hwgen.spec.tables import TABLES
from tests.golden.hand_program import HandProgram, small_arch
from tests.golden.random_package import MINI, random_image, random_package

ARCH, ONE_LANE = small_arch((2, 8, 16)), small_arch((1, 8, 8))
ROWS, WORDS = 6, 2
Step = tuple[Opcode, dict[str, int]]


def step(opcode: Opcode, **fields: int) -> Step:
    return opcode, {name: int(value) for name, value in fields.items()}


def table(name: str, **fields: int) -> Step:
    info = next(info for info in TABLES if info.name == name)
    return step(Opcode.LOAD_TABLE, table=info.index, words=info.words, **fields)


def position(**fields: int) -> Step:
    return step(Opcode.LOAD_POSITION, **{"rows": ROWS, "row_words": WORDS, **fields})


def patches(**fields: int) -> Step:
    """Three bands of two patches, four words each."""
    shape = {"patch": 8, "patch_rows": 3, "patch_columns": 2, "channels": 1, "width": 16, "plane_bytes": 512}
    return step(Opcode.LOAD_PATCHES, **{**shape, "dst_base": 100, "dst_stride": 4, **fields})


def norm(base: int = 0, **fields: int) -> Step:
    shape = {"rows": ROWS, "words": WORDS, "channels": 32, "src_stride": WORDS, "dst_stride": WORDS}
    return step(Opcode.LAYERNORM, **{**shape, "wait_a": Counter.RESIDUAL, "wait_a_base": base, **fields})


def linear(destination: Destination, wait: Counter, base: int = 0, **fields: int) -> Step:
    """From norm rows, or from patches."""
    shape = {"rows": ROWS, "in_chunks": 2 * WORDS, "out_tiles": WORDS, "src_stride": WORDS, "dst_stride": WORDS}
    if wait == Counter.PATCH:
        shape |= {"source": Source.ACTIVATION, "src_base": 100, "src_stride": 4}
    return step(Opcode.LINEAR, **{**shape, "destination": destination, "wait_a": wait, "wait_a_base": base, **fields})


def scores(**fields: int) -> Step:
    shape = {"rows": ROWS, "keys": ROWS, "in_chunks": 2, "src_stride": WORDS, "key_stride": WORDS, "mult": 1}
    waits = {"wait_a": Counter.QUERY, "wait_b": Counter.KEY, "wait_b_base": ROWS}
    return step(Opcode.SCORES, **{**shape, **waits, **fields})


def context(**fields: int) -> Step:
    shape = {"rows": ROWS, "keys": ROWS, "out_tiles": 1, "value_stride": WORDS, "dst_base": 50, "dst_stride": WORDS}
    waits = {"wait_a": Counter.SCORE, "wait_b": Counter.VALUE, "wait_b_base": ROWS}
    return step(Opcode.CONTEXT, **{**shape, **waits, **fields})


def experts(**fields: int) -> Step:
    shape = {"rows": ROWS, "experts": 2, "in_chunks": 4, "hidden_tiles": 2, "hidden_chunks": 4, "out_tiles": WORDS}
    place = {"src_stride": WORDS, "hidden_base": 200, "hidden_stride": 2, "dst_stride": WORDS}
    return step(Opcode.EXPERTS, **{**shape, **place, "wait_b": Counter.GATE, "wait_b_base": ROWS, **fields})


def gate(**fields: int) -> Step:
    return linear(Destination.GATE, Counter.NORM, experts=2, top_k=1, out_tiles=1, **fields)


def behind(counter: Counter, base: int) -> dict[str, int]:
    return {"wait_b": counter, "wait_b_base": base % 2**16}


def follow(steps: list[Step], arch: ArchConfig = ARCH) -> None:
    order = Order(arch)
    for pc, (opcode, fields) in enumerate(steps):
        order.follow(pc, *decode(encode(opcode, **fields)))


TABLES_FIRST = [table(info.name) for info in TABLES]  # pc 0 to 4
NORMED = [*TABLES_FIRST, position(), norm()]
KEYED = [*NORMED, linear(Destination.KEY, Counter.NORM)]
ATTENTION = [
    *NORMED,
    linear(Destination.QUERY, Counter.NORM),
    linear(Destination.KEY, Counter.NORM),
    linear(Destination.VALUE, Counter.NORM),
]
TO_QUERY = linear(Destination.QUERY, Counter.NORM)


def add(**fields: int) -> Step:
    """To the residual, behind all positions."""
    return linear(Destination.RESIDUAL, Counter.NORM, **{**behind(Counter.NORM, ROWS), **fields})


UPDATED = [*NORMED, add()]
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


MANY = 4095


def long_count(times: int, **fields: int) -> list[Step]:
    """KEY counts up ``times`` times; the buffer need not hold the rows."""
    shape = {"rows": MANY, "wait_a": 0, "src_stride": 0, **behind(Counter.NORM, ROWS)}
    return [linear(Destination.KEY, Counter.NORM, **{**shape, **fields})] * times


def test_a_wait_that_the_count_may_leave_behind():
    """LAYERNORM may look at KEY when it is 2^15 past the value, unless those who count wait for LAYERNORM."""
    begin = [*NORMED, *long_count(1), norm(dst_base=100, **behind(Counter.KEY, 1000))]
    follow([*begin, *long_count(7)])  # 32760
    with pytest.raises(IllegalProgramError, match="LINEAR counts KEY to 33768 while LAYERNORM at pc 8 may still wait"):
        follow([*begin, *long_count(8)])
    follow([*begin, *long_count(8, **behind(Counter.NORM, ROWS + 1))])


def test_a_wait_that_a_low_count_passes_for():
    """A count of zero is 2^15 past a value of 2^15 + 1, modulo 2^16."""
    begin = [*NORMED, *long_count(9)]
    early = norm(dst_base=100, **behind(Counter.KEY, 10))
    with pytest.raises(IllegalProgramError, match="LAYERNORM waits for KEY 36855, which a count below 4087 passes for"):
        follow([*begin, norm(dst_base=100, **behind(Counter.KEY, 9 * MANY))])
    with pytest.raises(IllegalProgramError, match="may still wait for 10"):
        follow([*NORMED, *long_count(1), early, *long_count(8)])
    between = norm(dst_base=100, **behind(Counter.KEY, 2 * MANY))
    follow([*NORMED, *long_count(2), between, *long_count(7), norm(dst_base=100, **behind(Counter.KEY, 9 * MANY))])


def test_how_far_a_count_may_be():
    """2^15 - 1 past the value, or 2^15 before it."""
    waits = [norm(dst_base=100 + 20 * turn, **behind(Counter.KEY, 0)) for turn in range(2)]
    follow([*NORMED, waits[0], *long_count(8), *long_count(1, rows=7)])
    with pytest.raises(IllegalProgramError, match="counts KEY to 32768 while LAYERNORM at pc 7 may still wait for 0"):
        follow([*NORMED, waits[0], *long_count(8), *long_count(1, rows=8)])
    follow([*NORMED, *long_count(9), norm(dst_base=100, **behind(Counter.KEY, 2**15))])
    with pytest.raises(IllegalProgramError, match="KEY 32769, which a count below 1 passes for"):
        follow([*NORMED, *long_count(9), norm(dst_base=100, **behind(Counter.KEY, 2**15 + 1))])


def test_rows_that_wait_are_left_behind_one_by_one():
    """The first row has seen KEY 1, the second may still wait for 2."""
    first = norm(dst_base=100, wait_a=Counter.KEY, wait_a_base=0)
    known = behind(Counter.NORM, ROWS + 1)
    begin = [*NORMED, *long_count(1), first, *long_count(7), *long_count(1, rows=9, **known)]
    follow(begin)
    with pytest.raises(IllegalProgramError, match="counts KEY to 32770 while LAYERNORM at pc 8 may still wait for 2"):
        follow([*begin, *long_count(1, rows=1, **known)])
    follow([*begin, *long_count(1, rows=1, **behind(Counter.NORM, ROWS + 2))])


def test_a_load_that_waits_has_begun_when_its_words_are_used():
    """Whoever uses them knows that the load has seen its count."""
    load = step(Opcode.LOAD_WEIGHTS, param_entries=WORDS, weight_words=WORDS * 2 * WORDS, **behind(Counter.KEY, 1000))
    before = step(Opcode.LOAD_WEIGHTS, param_entries=100, weight_words=1000)
    last = long_count(1, rows=2000, out_tiles=0, **behind(Counter.VALUE, ROWS))
    for loads, good in (([load], True), ([before, load], False)):
        user = linear(Destination.VALUE, Counter.NORM)
        steps = [*NORMED, *long_count(1, out_tiles=0), *loads, user, *long_count(7, out_tiles=0), *last]
        if good:
            follow(steps)
            continue
        with pytest.raises(
            IllegalProgramError, match="LINEAR counts KEY to 33768 while LOAD_WEIGHTS at pc 9 may still"
        ):
            follow(steps)


def test_experts_are_counted_before_the_weights_of_those_without_tokens():
    load = step(Opcode.LOAD_WEIGHTS, param_entries=8, weight_words=32, **behind(Counter.NORM, 1))
    shape = {"rows": MANY, "src_stride": 0, "dst_base": 100, "dst_stride": 0, "wait_a": 0}
    norms = [norm(**{**shape, **behind(Counter.RESIDUAL, 2 * ROWS)})] * 9
    of_gate = step(Opcode.LOAD_WEIGHTS, param_entries=1, weight_words=4)
    begin = [*NORMED, of_gate, gate(), load]
    follow([*begin, add(), *norms])
    with pytest.raises(
        IllegalProgramError, match="LAYERNORM counts NORM to 32769 while LOAD_WEIGHTS at pc 9 may still"
    ):
        follow([*begin, experts(), *norms])


def test_experts_look_at_their_wait_ahead_of_the_loader():
    """What the loader has waited for says nothing; what experts have waited for does."""
    gates = [gate(rows=MANY, wait_a=0, src_stride=0, **behind(Counter.NORM, ROWS))] * 9
    far = behind(Counter.GATE, 9 * MANY)
    loader = linear(Destination.KEY, Counter.NORM, **behind(Counter.GATE, 20000))
    with pytest.raises(IllegalProgramError, match="EXPERTS waits for GATE 36855, which a count below 4087 passes for"):
        follow([*NORMED, *gates, loader, experts(**far)])
    most = experts(**behind(Counter.GATE, 5 * MANY))
    follow([*NORMED, *gates[:5], most, *gates[5:], experts(**far)])


def test_two_who_count_at_once():
    """Nobody knows whose rows a value stands for, so that the second must be behind the first."""
    clock = np.stack([nothing(), nothing()])
    clock[:, Stage.IO] = 1, 2
    promises = Promises(Counter.RESIDUAL)
    promises.count(Stage.IO, clock)
    post = nothing()[None]
    post[0, Stage.POST] = 1
    with pytest.raises(UnorderedError, match=r"counts RESIDUAL while .other. may still count it"):
        promises.count(Stage.POST, post)
    late = np.concatenate([post, post])
    late[1, Stage.IO] = 2
    with pytest.raises(UnorderedError):
        promises.count(Stage.POST, late)
    post[0, Stage.IO] = 2
    promises.count(Stage.POST, post)
    assert promises.total == 3
    assert promises.wait(promises.value(3), 1, Stage.NORM, 1, nothing())[0, Stage.IO] == 2


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
