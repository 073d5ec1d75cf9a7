"""Backend for a Linux host without PYNQ: registers through /dev/mem, memory reserved for the accelerator."""

import mmap
import os
import select
import time
from pathlib import Path
from typing import Any

from hwgen.driver.backend import BackendError
from hwgen.spec.registers import BY_NAME, REGISTER_ADDRESS_BITS

POLL_SECONDS = 1e-4
PAGE = mmap.PAGESIZE


class DevMemBackend:
    """Maps the registers and a physical memory range that Linux does not use (``reserved-memory``).

    Parameters
    ----------
    registers: physical address of the AXI4-Lite slave.
    memory, memory_bytes: physical range of the reserved memory, page-aligned; uncached when opened with O_SYNC.
    clock_mhz: clock of the accelerator, for time-outs.
    interrupt: UIO device of the interrupt line (``/dev/uio0``); without it the status register is polled.
    device: file with the physical address space.
    """

    blocking = True

    def __init__(
        self,
        registers: int,
        memory: int,
        memory_bytes: int,
        clock_mhz: float,
        interrupt: Path | None = None,
        device: Path = Path("/dev/mem"),
    ) -> None:
        if memory % PAGE or registers % PAGE:
            raise BackendError(f"registers {registers:#x} and memory {memory:#x} must be multiples of {PAGE:#x}")
        self.memory_address, self.memory_bytes = memory, memory_bytes
        self._clock_mhz = clock_mhz
        try:
            file = os.open(device, os.O_RDWR | os.O_SYNC)
        except OSError as error:
            raise BackendError(f"cannot open {device}: {error.strerror}; run as root") from error
        try:
            size = max(1 << REGISTER_ADDRESS_BITS, PAGE)
            self._registers = memoryview(mmap.mmap(file, size, offset=registers)).cast("I")
            self._memory = mmap.mmap(file, memory_bytes, offset=memory)
        finally:
            os.close(file)
        self._interrupt = None if interrupt is None else os.open(interrupt, os.O_RDWR)

    async def read32(self, offset: int) -> int:
        """The register at a byte offset, in one 32-bit access."""
        return self._registers[offset // 4]

    async def write32(self, offset: int, value: int) -> None:
        """Set the register at a byte offset, in one 32-bit access."""
        self._registers[offset // 4] = value

    async def write_memory(self, offset: int, data: Any) -> None:
        """Store bytes."""
        view = memoryview(data).cast("B")
        self._memory[offset : offset + len(view)] = bytes(view)

    async def read_memory(self, offset: int, size: int) -> bytes:
        """Read bytes."""
        return self._memory[offset : offset + size]

    async def wait_interrupt(self, cycles: int) -> bool:
        """Sleep on the UIO device, or poll the interrupt status register."""
        seconds = cycles / (self._clock_mhz * 1e6) + 0.1
        if self._interrupt is not None:
            os.write(self._interrupt, (1).to_bytes(4, "little"))  # unmask
            ready, _, _ = select.select([self._interrupt], [], [], seconds)
            if ready:
                os.read(self._interrupt, 4)
            return bool(ready)
        deadline = time.monotonic() + seconds
        while not await self.read32(BY_NAME["ISR"].offset) & 1:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True
