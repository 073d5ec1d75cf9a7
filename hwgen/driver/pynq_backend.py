"""Backend for PYNQ: an IP of an overlay and a contiguous buffer."""

import time
from typing import Any

import numpy as np

from hwgen.spec.registers import BY_NAME

POLL_SECONDS = 1e-4


class PynqBackend:
    """Registers through ``overlay.<ip>``, memory through ``pynq.allocate``.

    Parameters
    ----------
    ip: the accelerator in a loaded overlay; has ``read(offset)`` and ``write(offset, value)``.
    buffer: uint8 array of ``pynq.allocate``; has ``device_address``, ``flush()`` and ``invalidate()``.
    clock_mhz: clock of the accelerator, for time-outs.
    """

    blocking = True

    def __init__(self, ip: Any, buffer: Any, clock_mhz: float) -> None:
        self._ip, self._buffer, self._clock_mhz = ip, buffer, clock_mhz
        self.memory_address, self.memory_bytes = int(buffer.device_address), int(buffer.nbytes)

    async def read32(self, offset: int) -> int:
        """The register at a byte offset."""
        return int(self._ip.read(offset))

    async def write32(self, offset: int, value: int) -> None:
        """Set the register at a byte offset."""
        self._ip.write(offset, value)

    async def write_memory(self, offset: int, data: Any) -> None:
        """Store bytes and hand them to the accelerator."""
        view = np.frombuffer(data, np.uint8)
        self._buffer[offset : offset + view.size] = view
        self._buffer.flush()

    async def read_memory(self, offset: int, size: int) -> bytes:
        """Bytes as the accelerator left them."""
        self._buffer.invalidate()
        return np.asarray(self._buffer[offset : offset + size]).tobytes()

    async def wait_interrupt(self, cycles: int) -> bool:
        """Poll the interrupt status register: a run takes milliseconds."""
        deadline = time.monotonic() + cycles / (self._clock_mhz * 1e6) + 0.1
        while not await self.read32(BY_NAME["ISR"].offset) & 1:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True
