"""Runs inside the simulator: reads one constant."""

from pathlib import Path

import cocotb
from cocotb.triggers import Timer


@cocotb.test()
async def value(dut):
    await Timer(1, "step")
    Path("value.txt").write_text(str(int(dut.value.value)))
    assert int(dut.value.value) < 100
