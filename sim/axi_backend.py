"""The driver's backend over cocotbext-axi, which drives hwgen_top: an AXI implementation that is not this project's.

Registers go through its AxiLiteMaster, every memory port has its AxiRam, and all of these share one memory. Python
takes part in every beat: some 10,000 cycles a second. The memory of hwgen_bench (sim/backend.py) is faster.
"""

import logging
import random
import sys
import warnings
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.task import Task
from cocotb.triggers import ClockCycles, First, RisingEdge, SimTimeoutError, Timer, with_timeout

from hwgen.driver.backend import BackendError
from sim.backend import REGISTER_LIMIT_CYCLES, RESET_CYCLES, STEPS_PER_CYCLE
from sim.options import MEMORY_BASE, check_stall
from sim.toolchain import COCOTBEXT_AXI, pip_install

try:
    from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiResp
except ImportError as error:
    raise ImportError(f"cocotbext-axi is missing; install it with: {pip_install(COCOTBEXT_AXI)}") from error

warnings.filterwarnings("ignore", category=DeprecationWarning, module="cocotbext")  # it calls cocotb by older names

CONTROL = "s_axi_control"
MASTER = "m_axi_gmem"
BUS = {"reset_active_level": False}  # of every interface


class SharedMemory:
    """Bytes at an address, sliced by address as AxiRam does; IndexError outside, which the ports answer with SLVERR.

    Accesses to the ``refused`` stretch, (address, bytes), are errors, too.
    """

    def __init__(self, address: int, size: int) -> None:
        self.address, self.data = address, bytearray(size)
        self.refused: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        """The space of addresses, of which AxiRam takes every address the rest; not the bytes that are there."""
        return sys.maxsize

    def _place(self, span: slice) -> slice:
        first, size = self.refused
        inside = self.address <= span.start and span.stop <= self.address + len(self.data)
        if not inside or (span.start < first + size and first < span.stop):
            raise IndexError(f"no memory at {span.start:#x}")
        return slice(span.start - self.address, span.stop - self.address)

    def __getitem__(self, span: slice) -> bytes:
        """The bytes at a span of addresses."""
        return bytes(self.data[self._place(span)])

    def __setitem__(self, span: slice, data: bytes) -> None:
        """Store bytes at a span of addresses."""
        self.data[self._place(span)] = data


class AxiBackend:
    """One accelerator in hwgen_top: ``device = Device(await AxiBackend.start(dut, memory_bytes))``.

    Parameters
    ----------
    dut: hwgen_top, as cocotb hands it to a test.
    memory_bytes: size of the memory that all ports share.
    memory_address: where the accelerator sees it; above 4 GB unless given, so that all 64 bits matter.

    Members
    -------
    control: AxiLiteMaster of the registers; ``read`` and ``write`` may be awaited directly.
    ports: AxiRam of each memory port, in the order of their numbers.
    memory: the bytes behind the ports, in ``memory.data``.

    Only one may be made in each test. Nothing but :meth:`start` lets simulated time pass.
    """

    blocking = False

    def __init__(self, dut: Any, memory_bytes: int, memory_address: int = MEMORY_BASE) -> None:
        self._dut = dut
        self.memory_address, self.memory_bytes = memory_address, memory_bytes
        self.memory = SharedMemory(memory_address, memory_bytes)
        self._stalls: Task[None] | None = None
        dut.ap_rst_n.value = 0
        for bus in (CONTROL, *self._masters()):
            logging.getLogger(f"cocotb.{dut._name}.{bus}").setLevel(logging.WARNING)  # else a line for every burst
        clock, reset = dut.ap_clk, dut.ap_rst_n
        self.control: Any = AxiLiteMaster(AxiLiteBus.from_prefix(dut, CONTROL), clock, reset, **BUS)
        self.ports: list[Any] = [
            AxiRam(AxiBus.from_prefix(dut, bus), clock, reset, mem=self.memory, **BUS) for bus in self._masters()
        ]
        Clock(dut.ap_clk, STEPS_PER_CYCLE, "step").start()

    @classmethod
    async def start(cls, dut: Any, memory_bytes: int, memory_address: int = MEMORY_BASE) -> "AxiBackend":
        """The backend of a machine that has just been reset."""
        backend = cls(dut, memory_bytes, memory_address)
        await backend.reset()
        return backend

    def _masters(self) -> list[str]:
        """Prefixes of the memory ports."""
        count = 0
        while hasattr(self._dut, f"{MASTER}{count}_araddr"):
            count += 1
        return [f"{MASTER}{index}" for index in range(count)]

    async def reset(self) -> None:
        """Hold accelerator and buses in reset for some cycles; the memory keeps its bytes."""
        for level in (0, 1):
            self._dut.ap_rst_n.value = level
            await ClockCycles(self._dut.ap_clk, RESET_CYCLES)

    def set_errors(self, offset: int, size: int) -> None:
        """Answer accesses to a stretch of the memory with SLVERR from now on; size 0: none."""
        self.memory.refused = (self.memory_address + offset, size)

    def set_stalls(self, share: float, seed: int = 1) -> None:
        """Hold back every channel of every interface in this share of the cycles, from now on; 0: no more.

        In each cycle one channel, drawn at random, is held back or let go. ValueError unless the share is in [0, 1).
        """
        check_stall(share)
        if self._stalls is not None:
            self._stalls.cancel()
        for channel in self._channels():
            channel.pause = False
        self._stalls = cocotb.start_soon(self._hold_back(share, random.Random(seed))) if share else None

    def _channels(self) -> list[Any]:
        """Every channel that this side drives."""
        found: list[Any] = []
        for interface in (self.control, *self.ports):
            writes, reads = interface.write_if, interface.read_if
            found += [writes.aw_channel, writes.w_channel, writes.b_channel, reads.ar_channel, reads.r_channel]
        return found

    async def _hold_back(self, share: float, rng: random.Random) -> None:
        edge, channels = RisingEdge(self._dut.ap_clk), self._channels()
        while True:
            rng.choice(channels).pause = rng.random() < share  # one a cycle: cocotbext-axi wakes for each change
            await edge

    async def _within_limit(self, access: Any, offset: int) -> Any:
        """What a register access answers; BackendError when it takes too long or says that it failed."""
        try:
            found = await with_timeout(access, STEPS_PER_CYCLE * REGISTER_LIMIT_CYCLES, "step")
        except SimTimeoutError as error:
            raise BackendError(f"access to register {offset:#x} was not answered") from error
        if found.resp != AxiResp.OKAY:
            raise BackendError(f"access to register {offset:#x} was answered with an error")
        return found

    async def read32(self, offset: int) -> int:
        """The register at a byte offset."""
        return int.from_bytes((await self._within_limit(self.control.read(offset, 4), offset)).data, "little")

    async def write32(self, offset: int, value: int) -> None:
        """Set the register at a byte offset."""
        await self._within_limit(self.control.write(offset, value.to_bytes(4, "little")), offset)

    async def write_memory(self, offset: int, data: Any) -> None:
        """Store bytes; takes no simulated time."""
        view = memoryview(data).cast("B")
        self.memory.data[offset : offset + len(view)] = view

    async def read_memory(self, offset: int, size: int) -> bytes:
        """Read bytes; takes no simulated time."""
        return bytes(self.memory.data[offset : offset + size])

    async def wait_interrupt(self, cycles: int) -> bool:
        """Sleep until the interrupt or ``cycles`` have gone by."""
        if self._dut.interrupt.value:
            return True
        came = RisingEdge(self._dut.interrupt)
        return await First(came, Timer(STEPS_PER_CYCLE * cycles, "step")) is came
