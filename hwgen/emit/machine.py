"""The files of a machine: Verilog, wrapper, side-car, C header and Vivado project."""

import json
from pathlib import Path
from typing import Any

from hwgen.emit.c_header import TOP
from hwgen.emit.c_header import emit as emit_header
from hwgen.emit.ports import ports_of
from hwgen.emit.sidecar import describe
from hwgen.emit.vivado import WRAPPER_FILE, emit_script, emit_wrapper
from hwgen.spec.arch import ArchConfig
from hwgen.spec.board import Board
from hwgen.store.output_file import write_text

SIDECAR_FILE = f"{TOP}.json"
HEADER_FILE = "hwgen.h"
SCRIPT_FILE = "vivado.tcl"


def write_machine(folder: Path, board: Board, arch: ArchConfig, verilog: str, timing: dict[str, Any]) -> None:
    """Everything beside the Verilog that a board project and its software need; same input, same bytes."""
    ports = ports_of(verilog, TOP)
    sidecar = describe(arch, ports, timing) | {"board": board.name, "clock_mhz": board.clock_mhz}
    write_text(folder / SIDECAR_FILE, json.dumps(sidecar, indent=1) + "\n")
    write_text(folder / HEADER_FILE, emit_header(arch))
    write_text(folder / WRAPPER_FILE, emit_wrapper(ports))
    write_text(folder / SCRIPT_FILE, emit_script(board, arch.name, ports))
