"""The Verilog of a machine: one file, the same text every time; and what its units say of their timing."""

import importlib
import pkgutil
from collections.abc import Iterator

from amaranth.back import verilog
from amaranth.lib.wiring import Component

import hwgen.rtl
from hwgen.emit.c_header import TOP
from hwgen.emit.merge_modules import merge_modules
from hwgen.emit.quick_amaranth import quick_amaranth
from hwgen.emit.tidy import compact_memories, compare_vectors, drop_aliases
from hwgen.rtl.accelerator import Accelerator
from hwgen.spec.arch import ArchConfig


def emit(arch: ArchConfig) -> str:
    """Elaborate the accelerator; the text holds no paths and no dates."""
    with quick_amaranth():
        text = verilog.convert(Accelerator(arch), name=TOP, emit_src=False, strip_internal_attrs=True)
    text = compare_vectors(drop_aliases(compact_memories(text), keep=".trace"))
    return merge_modules(text)


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
