"""Every mutant of a unit makes a test of that unit fail, and each of these tests passes on the real unit."""

import sys
from collections import Counter

import pytest

from tests.mutation.mutant import in_place, mutated_text, unit_test
from tests.mutation.mutants import MUTANTS

TESTS = {f"{mutant.test}{list(mutant.arguments)}": mutant for mutant in MUTANTS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_is_caught(mutant):
    with in_place(mutant.module, mutant.old, mutant.new):
        test = unit_test(mutant.test)
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            test(*mutant.arguments)


@pytest.mark.parametrize("mutant", TESTS.values(), ids=TESTS)
def test_passes_without_the_mutation(mutant):
    with in_place(mutant.module, mutant.old, mutant.old):
        unit_test(mutant.test)(*mutant.arguments)


def test_there_are_enough_of_each_kind():
    kinds = Counter(mutant.kind for mutant in MUTANTS)
    assert kinds["table"] >= 5
    assert min(kinds[kind] for kind in ("rounding", "address")) >= 10
    assert len({mutant.module for mutant in MUTANTS}) >= 15
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_the_real_modules_come_back():
    import hwgen.rtl.post.requant

    before = sys.modules["hwgen.rtl.post.requant"]
    with in_place("post.requant", "class RequantLanes", "class RequantLanes"):
        import hwgen.rtl.post.requant as mutated

        assert mutated is not before
    assert sys.modules["hwgen.rtl.post.requant"] is before
    assert hwgen.rtl.post.requant is before


def test_a_text_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"hwgen\.rtl\.post\.gelu has 0 times 'no such text'"):
        mutated_text("post.gelu", "no such text", "")
    with pytest.raises(ValueError, match=r"no module hwgen\.rtl\.nothing"):
        mutated_text("nothing", "a", "b")
