"""A bus that falls silent: for a while, beyond the machine's patience, for ever. Right bits or an error, never else.

One run of every case falls into a silence of one port; the runs behind it find the bus silent still, answering late, or
healed. All lie in one session of one machine: what one case leaves behind would show in the next.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import pytest

from golden.network import run_network
from hwgen.compiler.compile import compile_model
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.choices import GIVE_UP_CYCLES
from hwgen.spec.isa import ErrorCode
from sim.options import FOR_EVER, Silence
from sim.session import SimRun
from tests.golden.random_package import random_image, random_package
from tests.system.machines import check_run, run_machine, sim_options
from tests.system.networks import TINY

ONE, TWO = "sim", "sim-4x8x16"  # machines with one and with two weight ports
SEED = 41
TASK = TINY.tasks[0].name
WATCHDOG_CYCLES = 40_000  # several times what a good run takes
SHORT = 9_000  # the machine waits
LATE = WATCHDOG_CYCLES + GIVE_UP_CYCLES + 200  # it has given up and refused a start when the answers come
PATIENT = WATCHDOG_CYCLES + GIVE_UP_CYCLES // 2  # the answers come while it halts
SHARED = ARCHS[ONE].weight_ports
READ = [(port, channels) for port in range(SHARED + 1) for channels in (("ar",), ("r",))]
WRITE = [(SHARED, channels) for channels in (("aw",), ("w",), ("b",), ("aw", "w"))]
MOMENTS = {"ar": (150, 2500), "r": (150, 700, 2500), "aw": (150,), "w": (150,), "b": (150,)}
LENGTHS = {  # name -> end of the silence in cycles of the run that meets it, runs of a case, this one included
    "short": (SHORT, 3),
    "patient": (PATIENT, 3),
    "late": (LATE, 6),
    "for ever": (FOR_EVER, 5),  # with a reset before the last one
}


@dataclass(frozen=True)
class Case:
    """One silence: where, from which cycle of the run, how long."""

    port: int
    channels: tuple[str, ...]
    after: int
    length: str
    arch: str = ONE

    @property
    def name(self) -> str:
        """For reports."""
        return f"{self.length}, {self.arch} port {self.port} {'+'.join(self.channels)} after {self.after}"

    @property
    def silence(self) -> Silence:
        """As the simulation takes it."""
        end, _ = LENGTHS[self.length]
        cycles = FOR_EVER if end == FOR_EVER else end - self.after
        return Silence(port=self.port, channels=self.channels, after_cycles=self.after, cycles=cycles)


CASES = [
    Case(port, channels, after, length)
    for length in LENGTHS
    for port, channels in READ + WRITE
    for after in MOMENTS[channels[0]]
] + [  # one of two weight ports runs a ring ahead of the other
    Case(port, (channel,), 300, length, TWO) for length in LENGTHS for port in range(3) for channel in ("ar", "r")
]
BY_NAME = {case.name: case for case in CASES}


@pytest.fixture(scope="module")
def session() -> dict[str, list[SimRun]]:
    """Every case: the run with the silence and those behind it."""
    return _session(ONE) | _session(TWO)


def _session(arch: str) -> dict[str, list[SimRun]]:
    """The cases of one machine, one after the other."""
    compiled, cases = compile_model(random_package(TINY, SEED), ARCHS[arch]), [c for c in CASES if c.arch == arch]
    counts = [LENGTHS[case.length][1] for case in cases]
    ends = list(accumulate(counts))
    silences = {end - count: case.silence for case, count, end in zip(cases, counts, ends, strict=True)}
    resets = frozenset(end - 1 for case, end in zip(cases, ends, strict=True) if case.length == "for ever")
    options = sim_options(
        errors_are_results=True, watchdog_cycles=WATCHDOG_CYCLES, silences=silences, resets=resets, seconds=900
    )
    runs = run_machine(compiled, [random_image(TINY, SEED)], [TASK] * ends[-1], options=options).runs
    assert len(runs) == ends[-1]
    return {case.name: list(runs[end - count : end]) for case, count, end in zip(cases, counts, ends, strict=True)}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return run_network(random_package(TINY, SEED), random_image(TINY, SEED), TASK)


def codes(runs: list[SimRun]) -> list[ErrorCode]:
    """How the runs of a case ended."""
    return [ErrorCode.NONE if run.error is None else ErrorCode(run.error.code) for run in runs]


@pytest.mark.parametrize("name", BY_NAME)
def test_right_bits_or_an_error(name: str, session: dict[str, list[SimRun]], golden: dict[str, np.ndarray]):
    """Every run that says that it is good has every bit right; those that do not say why."""
    compiled = compile_model(random_package(TINY, SEED), ARCHS[BY_NAME[name].arch])
    good = 0
    for run in session[name]:
        if run.error is None:
            check_run(compiled, run, golden)
            good += 1
        else:
            assert run.error.code in (ErrorCode.WATCHDOG, ErrorCode.BUS), str(run.error)
    assert good > 0
    assert session[name][-1].error is None, "healed by the answers, or by the reset"


@pytest.mark.parametrize("name", [case.name for case in CASES if case.length == "short"])
def test_a_short_silence_only_costs_time(name: str, session: dict[str, list[SimRun]]):
    """The machine waits, and nothing is left of it."""
    assert codes(session[name]) == [ErrorCode.NONE] * 3


@pytest.mark.parametrize("name", [case.name for case in CASES if case.length == "patient"])
def test_answers_while_it_halts(name: str, session: dict[str, list[SimRun]]):
    """The run is lost, the next one is good at once."""
    assert codes(session[name]) == [ErrorCode.WATCHDOG, ErrorCode.NONE, ErrorCode.NONE]


@pytest.mark.parametrize("name", [case.name for case in CASES if case.length == "late"])
def test_answers_that_come_late(name: str, session: dict[str, list[SimRun]]):
    """Starts are refused until the bus has given what it owed; then runs are good, without a reset."""
    found = codes(session[name])
    assert found[0] == ErrorCode.WATCHDOG
    assert found[1] == ErrorCode.BUS
    assert found[-1] == ErrorCode.NONE
    changes = sum(a != b for a, b in pairwise(found[1:]))
    assert changes == 1, f"{found}: from refused to good, once"


@pytest.mark.parametrize("name", [case.name for case in CASES if case.length == "for ever"])
def test_a_bus_that_is_dead(name: str, session: dict[str, list[SimRun]]):
    """Every start is refused at once until the reset; the run that met it ends when the machine gives up."""
    runs = session[name]
    assert codes(runs) == [ErrorCode.WATCHDOG, *[ErrorCode.BUS] * 3, ErrorCode.NONE]
    assert WATCHDOG_CYCLES + GIVE_UP_CYCLES < runs[0].simulated_cycles < WATCHDOG_CYCLES + GIVE_UP_CYCLES + 1000
    for run in runs[1:-1]:
        assert run.simulated_cycles < 500
        assert run.ddr_read_bytes == run.ddr_write_bytes == 0
