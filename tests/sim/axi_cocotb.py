"""Runs inside the simulator of hwgen_top: what AxiBackend does when something goes wrong."""

import os
from pathlib import Path

import cocotb
import numpy as np
import pytest

from hwgen.cocotb import AxiBackend, BackendError, Device, MachineError, Network

NETWORK = Network(Path(os.environ["BUILT_NETWORK"]))
WORKLOAD = NETWORK.workload
IMAGE = np.zeros(WORKLOAD.image_shape, dtype=np.uint8)


async def loaded(dut, memory_bytes: int) -> tuple[AxiBackend, Device]:
    backend = await AxiBackend.start(dut, memory_bytes)
    device = Device(backend)
    await device.load(WORKLOAD)
    return backend, device


@cocotb.test()
async def a_refused_stretch_of_memory(dut):
    """Also after a run that ended so; and what is not refused is read."""
    backend, device = await loaded(dut, WORKLOAD.memory_bytes)
    for offset, name in ((WORKLOAD.image_offset, "AXI_READ"), (WORKLOAD.task("seg").program_offset, "AXI_READ")):
        backend.set_errors(offset, 16)
        with pytest.raises(MachineError, match=name):
            await device.run("seg", IMAGE)
        backend.set_errors(0, 0)
        await backend.reset()
    assert len(backend.ports) == WORKLOAD.arch.weight_ports + 1


@cocotb.test()
async def an_address_outside_the_memory(dut):
    backend, device = await loaded(dut, WORKLOAD.memory_bytes)
    await device._prepare(WORKLOAD, "seg", 100_000)
    await device.set("IMAGE", backend.memory_address + backend.memory_bytes)
    await device.set("AP_CTRL", 1)
    assert await backend.wait_interrupt(100_000)
    with pytest.raises(MachineError, match="AXI_READ"):
        await device._finish("seg")


@cocotb.test()
async def a_register_that_does_not_answer(dut):
    backend = await AxiBackend.start(dut, 4096)
    assert not await backend.wait_interrupt(100)
    backend.control.read_if.r_channel.pause = True
    with pytest.raises(BackendError, match="register 0x3c was not answered"):
        await backend.read32(0x3C)
