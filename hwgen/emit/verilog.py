"""The Verilog of a machine: one file, the same text every time; and what its units say of their timing."""

import importlib
import pkgutil
import re

from amaranth.back import verilog
from amaranth.lib.wiring import Component

import hwgen.rtl
from hwgen.emit.c_header import TOP
from hwgen.rtl.accelerator import Accelerator
from hwgen.spec.arch import ArchConfig


def emit(arch: ArchConfig) -> str:
    """Elaborate the accelerator; the text holds no paths and no dates."""
    text = verilog.convert(Accelerator(arch), name=TOP, emit_src=False, strip_internal_attrs=True)
    return compact_memories(text)


_ZERO_MEMORY = re.compile(
    r"^  initial begin\n"
    r"((?:    (?P<name>\S+ ?)\[\d+\] = (?P<bits>\d+)'[hdb]0+;\n)"
    r"(?:    (?P=name)\[\d+\] = (?P=bits)'[hdb]0+;\n)*)  end\n",
    re.MULTILINE,
)


def compact_memories(text: str) -> str:
    """The same Verilog with one loop in place of a line per word where a memory starts as zeros."""

    def loop(match: re.Match[str]) -> str:
        name, words = match["name"], match[1].count("\n")
        label = f"zero_{re.sub(r'[^A-Za-z0-9_]', '_', name)}"
        return (
            f"  initial begin : {label}\n    integer i;\n"
            f"    for (i = 0; i < {words}; i = i + 1) {name}[i] = {match['bits']}'d0;\n  end\n"
        )

    return _ZERO_MEMORY.sub(loop, text)


def unit_timing() -> dict[str, dict[str, int]]:
    """Class name -> its fixed cycle counts (``latency``, ``interval`` ...), for every unit that states some."""
    found: dict[str, dict[str, int]] = {}
    for module in pkgutil.iter_modules(hwgen.rtl.__path__):
        for name, item in sorted(vars(importlib.import_module(f"hwgen.rtl.{module.name}")).items()):
            if isinstance(item, type) and issubclass(item, Component):
                cycles = {key: value for key, value in vars(item).items() if isinstance(value, int) and _is_timing(key)}
                if cycles:
                    found[name] = cycles
    return dict(sorted(found.items()))


def _is_timing(name: str) -> bool:
    return name.endswith(("latency", "interval", "cycles"))
