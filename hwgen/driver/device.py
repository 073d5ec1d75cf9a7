"""The host driver: loads a workload, starts tasks, waits, reads results and counters, names errors."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from hwgen.driver.backend import Backend, complete
from hwgen.driver.workload import Workload
from hwgen.spec.isa import ErrorCode
from hwgen.spec.registers import BY_NAME, REGISTERS
from hwgen.spec.timing import REPORT_CYCLES

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

START, DONE, IDLE = 1, 2, 4  # bits of AP_CTRL
DEFAULT_WATCHDOG_CYCLES = 50_000_000
GRACE_CYCLES = REPORT_CYCLES + 1_000  # after the watchdog: the machine reports, and the host looks
FILL = 0xA5  # what a result that was never written looks like
COUNTERS = tuple(register.name for register in REGISTERS if register.access == "ro" and register.offset >= 0x40)
HEALED_BY_RESET = "the memory still owes answers to an earlier run; it may give them, or reset the machine and its bus"


class DeviceError(RuntimeError):
    """The accelerator does not behave as one; the message says what was expected."""


class MachineError(DeviceError):
    """The machine stopped with an error code; ``pc`` is the instruction that failed."""

    def __init__(self, code: int, pc: int, task: str) -> None:
        known = {int(item): item.name for item in ErrorCode}
        self.code, self.pc, self.name = code, pc, known.get(code, "unknown")
        text = f"task {task}: the machine stopped with {self.name} ({code}) at instruction {pc}"
        super().__init__(f"{text}; {HEALED_BY_RESET}" if code == ErrorCode.BUS else text)


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One task on one image: int16 [rows, outputs], and the performance counters by register name."""

    task: str
    data: NDArray[np.int16]
    counters: dict[str, int]

    @property
    def cycles(self) -> int:
        """From start to interrupt."""
        return self.counters["CYCLES"]


def operation(
    method: "Callable[Concatenate[Device, Arguments], Coroutine[Any, Any, Result]]",
) -> "Callable[Concatenate[Device, Arguments], Any]":
    """A plain call on a blocking backend, something to await on any other."""

    @wraps(method)
    def call(self: "Device", *args: Arguments.args, **kwargs: Arguments.kwargs) -> Any:
        coroutine = method(self, *args, **kwargs)
        return complete(coroutine) if self.backend.blocking else coroutine

    return call


class Device:
    """One accelerator behind a backend.

    On real hosts ``device.load(workload)`` and ``device.run("seg", image)`` are plain calls; in a simulation they are
    awaited. An error of the machine raises :class:`MachineError`; the next run works.
    """

    def __init__(self, backend: Backend) -> None:
        """Nothing is touched before the first call."""
        self.backend = backend
        self.workload: Workload | None = None

    async def _get(self, name: str) -> int:
        register = BY_NAME[name]
        low = await self.backend.read32(register.offset)
        return low if register.bits == 32 else low | await self.backend.read32(register.offset + 4) << 32

    async def _set(self, name: str, value: int) -> None:
        register = BY_NAME[name]
        await self.backend.write32(register.offset, value & 0xFFFFFFFF)
        if register.bits == 64:
            await self.backend.write32(register.offset + 4, value >> 32)

    @operation
    async def get(self, name: str) -> int:
        """A register by name."""
        return await self._get(name)

    @operation
    async def set(self, name: str, value: int) -> None:
        """Set a register by name."""
        await self._set(name, value)

    @operation
    async def load(self, workload: Workload) -> None:
        """Put a workload into memory; DeviceError when the machine or its memory does not fit it."""
        identity = await self._get("ARCH_ID")
        if identity != workload.arch.arch_id:
            raise DeviceError(
                f"ARCH_ID is {identity:#010x}, arch {workload.arch.name} has {workload.arch.arch_id:#010x};"
                " load the bitstream that was built with this workload"
            )
        if workload.memory_bytes > self.backend.memory_bytes:
            raise DeviceError(
                f"{workload.model} needs {workload.memory_bytes:,} bytes of memory,"
                f" there are {self.backend.memory_bytes:,}"
            )
        await self.backend.write_memory(0, workload.memory)
        self.workload = workload

    @operation
    async def run(
        self, task: str, image: NDArray[np.uint8], watchdog_cycles: int = DEFAULT_WATCHDOG_CYCLES
    ) -> RunResult:
        """Send one image [height, width, channels] through ``task``."""
        if self.workload is None:
            raise DeviceError("no workload is loaded; call load() first")
        size = self.workload.result_bytes(task)
        await self.backend.write_memory(self.workload.image_offset, self.workload.planar(image))
        await self.backend.write_memory(self.workload.result_offset, bytes([FILL]) * size)
        await self._prepare(self.workload, task, watchdog_cycles)
        await self._set("AP_CTRL", START)
        if not await self.backend.wait_interrupt(watchdog_cycles + GRACE_CYCLES):
            raise DeviceError(f"task {task}: no interrupt after {watchdog_cycles + GRACE_CYCLES:,} cycles")
        await self._finish(task)
        counters = {name: await self._get(name) for name in COUNTERS}
        data = await self.backend.read_memory(self.workload.result_offset, size)
        return RunResult(task=task, data=self.workload.result(task, data), counters=counters)

    async def _prepare(self, workload: Workload, task: str, watchdog_cycles: int) -> None:
        """Pointers, watchdog and interrupt."""
        if not await self._get("AP_CTRL") & IDLE:
            raise DeviceError("the machine is not idle; another program is using it")
        base = self.backend.memory_address
        await self._set("PROGRAM", base + workload.task(task).program_offset)
        await self._set("MODEL", base)
        await self._set("IMAGE", base + workload.image_offset)
        await self._set("RESULT", base + workload.result_offset)
        await self._set("RESULT_BYTES", workload.result_bytes(task))
        await self._set("WATCHDOG", watchdog_cycles)
        await self._set("ISR", await self._get("ISR"))  # bits toggle: this clears what is left from before
        await self._set("IER", 1)
        await self._set("GIE", 1)

    async def _finish(self, task: str) -> None:
        """Acknowledge the interrupt and look at the error registers."""
        await self._set("ISR", await self._get("ISR"))
        if not await self._get("AP_CTRL") & (DONE | IDLE):
            raise DeviceError(f"task {task}: the interrupt came, but the machine is neither done nor idle")
        code = await self._get("ERROR_CODE")
        if code != ErrorCode.NONE:
            raise MachineError(code, await self._get("ERROR_PC"), task)
