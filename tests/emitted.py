"""Verilog of arch presets and small machines, emitted once for all tests while no source changes."""

from functools import cache

from hwgen.pipeline import machine_verilog
from hwgen.spec.arch_presets import ARCHS
from tests.golden.small_machines import SMALL


@cache
def verilog_of(name: str) -> str:
    """Text of the accelerator."""
    return machine_verilog(ARCHS[name] if name in ARCHS else SMALL[name])
