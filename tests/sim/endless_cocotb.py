"""Runs inside the simulator and never gives it back."""

import time

import cocotb


@cocotb.test()
async def endless(dut):
    while True:
        time.sleep(0.1)
