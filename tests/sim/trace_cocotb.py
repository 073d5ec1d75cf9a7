"""Runs inside the simulator: reads a signal three modules down, and finds that its neighbour is not there."""

import cocotb
from cocotb.triggers import Timer


@cocotb.test()
async def counter(dut):
    for value in (3, 200):
        dut.start.value = value
        await Timer(1, "step")
        assert int(dut.accelerator.core.trace.post__data.value) == value + 1
    assert not hasattr(dut.accelerator.core, "hidden")
