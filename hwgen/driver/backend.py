"""What the driver needs of a host: 32-bit registers, a stretch of memory that the accelerator sees, an interrupt.

Methods are coroutines, so that one driver serves simulators, where waiting gives way to simulated time, and real
hosts, where coroutines never suspend (``blocking``) and :func:`complete` runs them like plain calls.
"""

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class BackendError(RuntimeError):
    """The host could not reach the accelerator; the message says what was tried."""


class Backend(Protocol):
    """One accelerator and its memory."""

    blocking: bool  # coroutines never suspend
    memory_address: int  # where the accelerator sees the memory
    memory_bytes: int

    async def read32(self, offset: int) -> int:
        """The register at a byte offset."""
        ...

    async def write32(self, offset: int, value: int) -> None:
        """Set the register at a byte offset."""
        ...

    async def write_memory(self, offset: int, data: Any) -> None:
        """Store bytes at an offset into the memory."""
        ...

    async def read_memory(self, offset: int, size: int) -> bytes:
        """Bytes at an offset into the memory."""
        ...

    async def wait_interrupt(self, cycles: int) -> bool:
        """Wait until the interrupt is there; False when it did not come within about ``cycles`` clock cycles."""
        ...


def complete(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise BackendError("a blocking backend suspended; await the call instead")
