"""The cheapest case measured again: not worse than kept, and instruction by instruction what the estimate says."""

import pytest

from benchmarks.cases import CASES, Case
from benchmarks.check import worse
from benchmarks.figures import figures_of
from benchmarks.measure import measured
from benchmarks.results import load
from hwgen.estimator.estimate import estimate
from hwgen.report.verification import Verification


@pytest.fixture(scope="module", params=["", "experts=4"])
def verification(request: pytest.FixtureRequest) -> Verification:
    """One image through m3vit-micro on the small machine."""
    return measured(Case("m3vit-micro", "sim", request.param), lambda _: None)


def test_nothing_got_worse(verification: Verification):
    found = figures_of(verification)
    if found.weights:
        kept = load()[CASES[0].name]
        assert found.cycles < kept.cycles
        assert kept.ddr_read_bytes - found.ddr_read_bytes == 2 * 8 * 2 * 64 * 128 // 2
        return
    assert found.name == CASES[0].name
    assert worse(load()[found.name], found) == []
    assert found.cycles > 10_000
    assert found.mac_cycles + sum(found.exposed.values()) == found.cycles


def test_instructions_run_when_the_estimate_says(verification: Verification):
    """Starts within 1 % of the whole, lengths of what computes within 3 % and a few cycles."""
    (item,) = verification.passes
    listing = verification.compiled.programs[item.run.task].listing
    queues = {name: value.tolist() for name, value in item.golden.items() if name.endswith(".queue_lengths")}
    found = estimate(verification.design, item.run.task, queues=queues)
    measured_times = item.run.instructions(listing)
    assert [entry.name for entry in found.instructions] == [entry.name for entry in measured_times]
    assert abs(found.cycles / item.run.cycles - 1) < 0.03
    host = (measured_times[0].start_cycle or 0) - found.instructions[0].start_cycle  # before the start is accepted
    assert 0 < host < 1000
    compared = 0
    for guess, real in zip(found.instructions, measured_times, strict=True):
        assert real.start_cycle is not None
        assert real.end_cycle is not None
        assert abs(guess.start_cycle + host - real.start_cycle) < 0.01 * item.run.cycles + host, guess.name
        if real.unit == "COMPUTE":
            length = real.end_cycle - real.start_cycle
            assert abs(guess.end_cycle - guess.start_cycle - length) < 0.03 * length + 10, guess.name
            compared += 1
    assert compared > 30
