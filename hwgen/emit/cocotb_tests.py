"""Tests that pass as they lie in a build folder, for users to copy and go on from."""

from pathlib import Path

from hwgen.emit.templates import render
from hwgen.emit.vivado import WRAPPER
from hwgen.spec.registers import BY_NAME
from hwgen.store.output_file import write_text

TESTS_FOLDER = "cocotb"
TESTS_FILE = f"test_{WRAPPER}.py"


def write_cocotb_tests(folder: Path, model: str, arch: str) -> None:
    """Write cocotb/test_hwgen_top.py for one network (a folder of models/) on the machine of a build folder."""
    part = folder / TESTS_FOLDER
    part.mkdir()
    text = render(
        f"{TESTS_FILE}.j2",
        file=TESTS_FILE,
        top=WRAPPER,
        model=model,
        arch=arch,
        watchdog=f"0x{BY_NAME['WATCHDOG'].offset:02X}",
    )
    write_text(part / TESTS_FILE, text)
