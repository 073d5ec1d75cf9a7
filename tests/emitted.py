"""Verilog of arch presets and small machines, emitted once for all tests; below build/ while no source changes."""

from functools import cache
from pathlib import Path

from hwgen.pipeline import machine_key
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.design import Design
from hwgen.spec.presets import M3VIT_MICRO
from hwgen.store.boards import board
from hwgen.store.locked_file import locked
from tests.golden.small_machines import SMALL

FOLDER = Path(__file__).parents[1] / "build" / "verilog"
LONGEST_SECONDS = 600  # another process may be emitting the same


@cache
def verilog_of(name: str) -> str:
    """Text of the accelerator; what it depends on is in the name of its file."""
    arch = ARCHS[name] if name in ARCHS else SMALL[name]
    path = FOLDER / f"{name}-{machine_key(Design(model=M3VIT_MICRO, arch=arch, board=board('sim')))}.v"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock"), LONGEST_SECONDS):
        if not path.is_file():
            from hwgen.emit.verilog import emit  # here: Amaranth takes long to import

            part = path.with_suffix(".part")
            part.write_text(emit(arch))
            part.replace(path)
    return path.read_text()
