"""The C header says what the declarations say, and its functions drive a register file."""

import re
import shutil
import subprocess

import jinja2
import pytest

from hwgen.emit.c_header import emit
from hwgen.emit.templates import render
from hwgen.spec.isa import ErrorCode, Opcode
from hwgen.spec.registers import REGISTERS
from tests.emit.small import ARCH

PROGRAM = r"""
#include <assert.h>
#include <stdio.h>
#include "hwgen.h"

int main(void)
{
    uint32_t window[HWGEN_REGISTER_BYTES / 4u] = {0};
    hwgen_start(window, 0x123456789ABCDEF0ull, 2, 3, 0xFEDCBA9876543210ull);
    assert(hwgen_read64(window, HWGEN_PROGRAM) == 0x123456789ABCDEF0ull);
    assert(hwgen_done(window) == 0);
    hwgen_write32(window, HWGEN_AP_CTRL, HWGEN_AP_CTRL_DONE | HWGEN_AP_CTRL_IDLE);
    assert(hwgen_done(window) != 0);
    for (unsigned i = 0; i < HWGEN_REGISTER_BYTES / 4u; i++)
        if (window[i]) printf("%02X=%08X\n", 4 * i, window[i]);
    return 0;
}
"""


def _defines(text: str) -> dict[str, int]:
    return {name: int(value, 0) for name, value in re.findall(r"#define HWGEN_(\w+) (\w+)u\b", text)}


def test_every_register_and_code_is_defined():
    defines = _defines(emit(ARCH))
    assert defines["MACHINE"] == ARCH.arch_id != 0
    assert {r.name: defines[r.name] for r in REGISTERS} == {r.name: r.offset for r in REGISTERS}
    assert {c.name: defines[f"ERROR_{c.name}"] for c in ErrorCode} == {c.name: int(c) for c in ErrorCode}
    assert {c.name: defines[f"OPCODE_{c.name}"] for c in Opcode} == {c.name: int(c) for c in Opcode}


def test_the_same_machine_gives_the_same_text():
    assert emit(ARCH) == emit(ARCH)


def test_the_functions_write_the_registers(tmp_path):
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler is not None, "a C compiler comes with g++"
    (tmp_path / "hwgen.h").write_text(emit(ARCH))
    (tmp_path / "main.c").write_text(PROGRAM)
    command = [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", "main", "main.c"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    result = subprocess.run([tmp_path / "main"], check=True, capture_output=True, text=True, timeout=60)
    assert result.stdout.split() == [
        "00=00000006",
        "10=9ABCDEF0",
        "14=12345678",
        "18=00000002",
        "20=00000003",
        "28=76543210",
        "2C=FEDCBA98",
    ]


def test_a_name_that_is_not_bound_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        render("hwgen.h.j2", top="x")
