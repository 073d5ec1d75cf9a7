"""Runs inside the simulator: waits until the traffic of ddr_traffic.sv has ended and writes what it counted."""

import json
from pathlib import Path

import cocotb
from cocotb.triggers import First, RisingEdge, Timer

LIMIT_STEPS = 2_000_000  # two steps a cycle
COUNTS = [
    "cycle",
    "first_data",
    "read_beats",
    "write_beats",
    "wrong",
    "unstable",
    "slave_errors",
    "decode_errors",
    "fault",
    "finished",
]


@cocotb.test()
async def traffic(dut):
    await First(RisingEdge(dut.finished), RisingEdge(dut.fault), Timer(LIMIT_STEPS, "step"))
    await Timer(10, "step")
    Path("counts.json").write_text(json.dumps({name: int(getattr(dut, name).value) for name in COUNTS}))
