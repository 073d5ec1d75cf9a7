"""The driver's backend inside the simulator: commands to the HDL host, memory through the file that the DDR maps."""

import mmap
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import First, Timer

from hwgen.driver.backend import BackendError
from sim.job import MEMORY_FILE
from sim.options import CHANNELS, Silence

WRITE, READ, INTERRUPT, CYCLES = range(4)  # operations of hwgen_host
GOOD, TIMEOUT, AXI_ERROR, FAULT = range(4)  # its status
STEPS_PER_CYCLE = 2
REGISTER_LIMIT_CYCLES = 10_000  # an AXI4-Lite access that takes longer is lost
RESET_CYCLES = 16


class BenchBackend:
    """One accelerator in ``hwgen_bench``: ``device = Device(await BenchBackend.start(dut))``.

    Python sleeps while a command runs; the host ends every command, after its limit at the latest.
    """

    blocking = False

    def __init__(self, dut: Any, memory: Path, memory_address: int) -> None:
        self._dut = dut
        with memory.open("r+b") as handle:
            self._memory = mmap.mmap(handle.fileno(), 0)
        self.memory_address, self.memory_bytes = memory_address, len(self._memory)
        self._request = int(dut.host_request.value)  # as an earlier test of the same simulation left it
        self.interrupt_cycle = 0  # when the latest interrupt was seen

    @classmethod
    async def start(cls, dut: Any) -> "BenchBackend":
        """The backend of a machine that has just been reset; its memory is what ``BenchMemory`` made here."""
        backend = cls(dut, Path(MEMORY_FILE), int(cocotb.plusargs["memory_base"]))
        backend.set_errors(0, 0)  # nor any of an earlier test
        await backend.reset()
        return backend

    @property
    def cycle(self) -> int:
        """Clock cycles since the simulation began."""
        return int(self._dut.cycle.value)

    def beats(self) -> tuple[int, int]:
        """16-byte beats that the memory has read and written."""
        return int(self._dut.read_beats.value), int(self._dut.write_beats.value)

    def set_errors(self, offset: int, size: int) -> None:
        """Answer accesses to a range with SLVERR from now on; size 0: none."""
        self._dut.error_base.value = self.memory_address + offset
        self._dut.error_bytes.value = size

    def set_silence(self, silence: Silence) -> None:
        """Make a port silent from some cycles from now on; one silence at a time."""
        dut = self._dut
        dut.silent_mask.value = 1 << silence.port
        dut.silent_on.value = sum(1 << CHANNELS.index(name) for name in silence.channels)
        dut.silent_from.value = self.cycle + silence.after_cycles
        dut.silent_until.value = self.cycle + silence.after_cycles + silence.cycles

    async def _command(self, operation: int, limit: int, address: int = 0, value: int = 0) -> int:
        """Status of a command."""
        dut = self._dut
        self._request ^= 1
        dut.host_operation.value = operation
        dut.host_address.value = address
        dut.host_value.value = value
        dut.host_limit.value = limit
        dut.host_request.value = self._request
        lost = Timer(STEPS_PER_CYCLE * (limit + 100), "step")  # the host ends earlier, whatever happens
        if await First(dut.host_done.value_change, lost) is lost:
            raise BackendError("the simulated host does not answer")
        status = int(dut.host_status.value)
        if status == FAULT:
            raise BackendError('the memory model saw a protocol violation; the log says which ("ddr:")')
        return status

    async def _access(self, operation: int, offset: int, value: int = 0) -> None:
        status = await self._command(operation, REGISTER_LIMIT_CYCLES, offset, value)
        if status != GOOD:
            what = "was not answered" if status == TIMEOUT else "was answered with an error"
            raise BackendError(f"access to register {offset:#x} {what}")

    async def reset(self) -> None:
        """Hold the accelerator and its memory in reset for some cycles; a silence ends."""
        self._dut.silent_until.value = 0
        self._dut.reset_n.value = 0
        await self._command(CYCLES, RESET_CYCLES)
        self._dut.reset_n.value = 1
        await self._command(CYCLES, RESET_CYCLES)

    async def read32(self, offset: int) -> int:
        """The register at a byte offset."""
        await self._access(READ, offset)
        return int(self._dut.host_result.value)

    async def write32(self, offset: int, value: int) -> None:
        """Set the register at a byte offset."""
        await self._access(WRITE, offset, value)

    async def write_memory(self, offset: int, data: Any) -> None:
        """Store bytes; takes no simulated time."""
        view = memoryview(data).cast("B")
        self._memory[offset : offset + len(view)] = view

    async def read_memory(self, offset: int, size: int) -> bytes:
        """Read bytes; takes no simulated time."""
        return self._memory[offset : offset + size]

    async def wait_interrupt(self, cycles: int) -> bool:
        """Sleep until the interrupt or ``cycles`` have gone by."""
        came = await self._command(INTERRUPT, cycles) == GOOD
        self.interrupt_cycle = self.cycle
        return came
