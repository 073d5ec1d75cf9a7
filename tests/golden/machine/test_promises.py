"""What counts promise: values half a counter away, loads that wait, and two who count at once."""

import numpy as np
import pytest

from golden.machine.progress import IllegalProgramError
from golden.machine.promises import Promises, UnorderedError
from golden.machine.stages import Stage, nothing
from hwgen.spec.isa import Counter, Destination, Opcode
from tests.golden.machine.short_programs import (
    NORMED,
    ROWS,
    WORDS,
    Step,
    add,
    behind,
    experts,
    follow,
    gate,
    linear,
    norm,
    step,
)

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
