"""The Verilog of a machine: one file, the same text every time; and what its units say of their timing."""

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amaranth.back import verilog
from amaranth.lib.wiring import Component

import hwgen.rtl
from hwgen.emit.c_header import TOP
from hwgen.emit.merge_modules import merge_modules
from hwgen.emit.tidy import compact_memories, compare_vectors, drop_aliases
from hwgen.rtl.accelerator import Accelerator
from hwgen.spec.arch import ArchConfig


def emit(arch: ArchConfig) -> str:
    """Elaborate the accelerator; the text holds no paths and no dates."""
    with quick_memories():
        text = verilog.convert(Accelerator(arch), name=TOP, emit_src=False, strip_internal_attrs=True)
    text = compare_vectors(drop_aliases(compact_memories(text), keep=".trace"))
    return merge_modules(text)


@contextmanager
def quick_memories() -> Iterator[None]:
    """While this is entered, Amaranth writes memories that start as zeros at once; the text is the same.

    Else it makes one Python object a bit: half a minute for the 20 million bits of a large machine. Made for the
    pinned Amaranth.
    """
    emitter: Any = importlib.import_module("amaranth.back.rtlil").ModuleEmitter  # not in the stubs
    original = emitter.emit_memory

    def emit_memory(self: Any, cell_idx: int, cell: Any) -> None:
        if any(cell.init):
            original(self, cell_idx, cell)
            return
        bits = cell.width * cell.depth
        self.builder.cell(
            "$meminit_v2",
            ports={"ADDR": self.sigspec(), "DATA": f"{bits}'{'0' * bits}", "EN": f"{cell.width}'{'1' * cell.width}"},
            parameters={
                "MEMID": self.memories[cell_idx].memid,
                "ABITS": 0,
                "WIDTH": cell.width,
                "WORDS": cell.depth,
                "PRIORITY": 0,
            },
            src_loc=cell.src_loc,
        )

    emitter.emit_memory = emit_memory
    try:
        yield
    finally:
        emitter.emit_memory = original


def units() -> Iterator[tuple[str, type[Component]]]:
    """Every unit of the RTL and the module it stands in, below hwgen.rtl, room by room."""
    for module in pkgutil.walk_packages(hwgen.rtl.__path__, "hwgen.rtl."):
        for _, item in sorted(vars(importlib.import_module(module.name)).items()):
            if isinstance(item, type) and issubclass(item, Component) and item.__module__ == module.name:
                yield module.name.removeprefix("hwgen.rtl."), item


def unit_timing() -> dict[str, dict[str, int]]:
    """Class name -> its fixed cycle counts (``latency``, ``interval`` ...), for every unit that states some."""
    found: dict[str, dict[str, int]] = {}
    for _, unit in units():
        cycles = {key: value for key, value in vars(unit).items() if isinstance(value, int) and _is_timing(key)}
        if cycles:
            found[unit.__name__] = cycles
    return dict(sorted(found.items()))


def _is_timing(name: str) -> bool:
    return name.endswith(("latency", "interval", "cycles"))
