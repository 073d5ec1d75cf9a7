"""The Verilog of a machine: one file, the same text every time."""

from amaranth.back import verilog

from hwgen.emit.c_header import TOP
from hwgen.rtl.accelerator import Accelerator
from hwgen.spec.arch import ArchConfig


def emit(arch: ArchConfig) -> str:
    """Elaborate the accelerator; the text holds no paths and no dates."""
    return verilog.convert(Accelerator(arch), name=TOP, emit_src=False, strip_internal_attrs=True)
