"""Where the tests of the simulation keep their builds: one folder for every session, so that each is built once."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def build_root() -> Path:
    return Path(__file__).parents[2] / "build" / "simulators"
