"""Where tests keep what they make; which tests ``make check`` leaves out; and which run in one process."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from hwgen.__main__ import BLAS_THREADS
from hwgen.store.cache import VARIABLE, kind_folder

os.environ.setdefault(VARIABLE, str(Path(__file__).parents[1] / "build" / "cache"))  # a clean checkout starts empty
for _name, _threads in BLAS_THREADS.items():  # those of the command line; NumPy is not there yet
    os.environ.setdefault(_name, _threads)

SIMULATED = (
    "tests/system/",
    "tests/mutation/test_images.py",
    "tests/cli/test_simulation.py",
    "tests/notebooks/",
    "tests/benchmarks/test_measured.py",
)
SLOW = (
    *SIMULATED,
    "tests/mutation/",
    "tests/sim/",
    "tests/synth/",
    "tests/emit/test_lint.py",
    "tests/emit/test_picture.py",
    "tests/emit/test_verilog.py",
    "tests/rtl/control/test_recovery.py",
    "tests/rtl/control/test_sequencer.py::test_index_of_an_error",
    "tests/spec/test_arch_limits.py::test_the_smallest_machine",
    "tests/frontend/test_real_weights.py",
    "tests/golden/test_random_graphs.py",
    "tests/test_steps_together.py",
    "tests/cli/test_signals.py",
    "tests/docs/test_commands.py",
)
ARCH = re.compile(r"\bsim(-\d+x\d+x\d+)?\b")  # as it stands in the parameters of a test


def simulator_of(nodeid: str) -> str | None:
    """The arch whose simulator a test uses, by its name; None for a test without one."""
    if not nodeid.startswith(SIMULATED) or "golden" in nodeid:
        return None
    parameters = nodeid.partition("[")[2]
    found = ARCH.search(parameters)
    return found.group() if found else "sim"


@pytest.fixture(scope="session")
def build_root() -> Path:
    """Where tests keep simulators: one folder for every session, so that each is built once."""
    return kind_folder("simulators")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what ``make check`` leaves out."""
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker("slow")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of one simulator are one unit of work, every other test is its own."""
    from xdist.scheduler import LoadScopeScheduling  # here: pytest runs without xdist, too

    class BySimulator(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return simulator_of(nodeid) or nodeid

    return BySimulator(config, log)
