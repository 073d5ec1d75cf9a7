"""The driver on a blocking backend: registers, order of accesses, errors; and the backends of real hosts."""

import json
import mmap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hwgen.driver.backend import BackendError, complete
from hwgen.driver.device import COUNTERS, GRACE_CYCLES, Device, DeviceError, MachineError
from hwgen.driver.devmem import DevMemBackend
from hwgen.driver.pynq_backend import PynqBackend
from hwgen.driver.workload import TaskEntry, Workload, WorkloadError
from hwgen.spec.choices import GIVE_UP_CYCLES
from hwgen.spec.isa import ErrorCode
from hwgen.spec.registers import BY_NAME
from hwgen.spec.timing import REPORT_CYCLES
from hwgen.store.archs import arch_preset

ARCH = arch_preset("sim")
BASE = 0x12_3456_7000
ROWS, OUTPUTS = 3, 5


def workload(**changes) -> Workload:
    values = {
        "model": "made-up",
        "arch": ARCH,
        "memory": np.arange(200, dtype=np.uint8),
        "image_shape": (4, 16, 3),
        "tasks": {"a": TaskEntry(program_offset=64, result_rows=ROWS, result_outputs=OUTPUTS)},
    }
    return Workload(**(values | changes))


class Machine:
    """A backend with the registers of a machine that fills its result with the sum of the image."""

    blocking = True
    memory_address = BASE
    memory_bytes = 1 << 16

    def __init__(self) -> None:
        self.registers = {BY_NAME["ARCH_ID"].offset: ARCH.arch_id, 0: 4}
        self.memory = bytearray(self.memory_bytes)
        self.written: list[str] = []
        self.interrupt = False
        self.error, self.hang = 0, False
        self.names = {item.offset: item.name for item in BY_NAME.values()}

    async def read32(self, offset: int) -> int:
        value = self.registers.get(offset, 0)
        if offset == 0:
            self.registers[0] &= ~2  # done clears on read
        return value

    async def write32(self, offset: int, value: int) -> None:
        assert 0 <= value < 1 << 32
        self.written.append(self.names.get(offset, self.names.get(offset - 4, "?") + "+4"))
        if self.names.get(offset) == "ISR":
            self.registers[offset] = self.registers.get(offset, 0) ^ value
        elif offset == 0 and value & 1:
            self._work()
        else:
            self.registers[offset] = value

    def pointer(self, name: str) -> int:
        low = BY_NAME[name].offset
        return (self.registers[low] | self.registers[low + 4] << 32) - BASE

    def _work(self) -> None:
        if self.hang:
            return
        image = self.memory[self.pointer("IMAGE") :][: 4 * 16 * 3]
        result = np.full(ROWS * ARCH.output_lanes, sum(image) & 0x7FFF, "<i2").tobytes()
        self.memory[self.pointer("RESULT") :][:0] = b""
        at = self.pointer("RESULT")
        self.memory[at : at + len(result)] = result
        for name, value in (("ERROR_CODE", self.error), ("ERROR_PC", 9), ("CYCLES", 77), ("ISR", 1)):
            self.registers[BY_NAME[name].offset] = value
        self.registers[BY_NAME["CYCLES"].offset + 4] = 1
        self.registers[0] = 4 | 2

    async def write_memory(self, offset: int, data) -> None:
        view = memoryview(data).cast("B")
        self.memory[offset : offset + len(view)] = view

    async def read_memory(self, offset: int, size: int) -> bytes:
        return bytes(self.memory[offset : offset + size])

    async def wait_interrupt(self, cycles: int) -> bool:
        return bool(self.registers.get(BY_NAME["ISR"].offset, 0)) and cycles > 0


IMAGE = np.arange(4 * 16 * 3, dtype=np.uint8).reshape(4, 16, 3)


def test_a_run_is_two_plain_calls():
    machine = Machine()
    device = Device(machine)
    device.load(workload())
    result = device.run("a", IMAGE)
    assert result.data.shape == (ROWS, OUTPUTS)
    assert (result.data == int(IMAGE.sum()) & 0x7FFF).all()
    assert result.cycles == 77 + (1 << 32)
    assert set(result.counters) == set(COUNTERS)
    assert machine.pointer("PROGRAM") == 64
    assert machine.pointer("MODEL") == 0
    assert bytes(machine.memory[:200]) == workload().memory.tobytes()
    planes = machine.memory[machine.pointer("IMAGE") :][: IMAGE.size]
    assert bytes(planes) == IMAGE.transpose(2, 0, 1).tobytes()
    assert machine.written.index("GIE") < machine.written.index("AP_CTRL")
    assert machine.registers[BY_NAME["ISR"].offset] == 0  # acknowledged
    assert (device.run("a", IMAGE + 1).data != result.data).all()


def test_errors_are_named_and_the_next_run_works():
    machine = Machine()
    device = Device(machine)
    device.load(workload())
    machine.error = int(ErrorCode.WATCHDOG)
    with pytest.raises(
        MachineError, match=r"task a: the machine stopped with WATCHDOG \(5\) at instruction 9"
    ) as caught:
        device.run("a", IMAGE)
    assert (caught.value.code, caught.value.pc, caught.value.name) == (5, 9, "WATCHDOG")
    machine.error = 0
    assert device.run("a", IMAGE).cycles == 77 + (1 << 32)


def test_what_cannot_work_is_refused():
    machine = Machine()
    device = Device(machine)
    with pytest.raises(DeviceError, match="no workload is loaded"):
        device.run("a", IMAGE)
    with pytest.raises(DeviceError, match=r"ARCH_ID is 0x[0-9a-f]{8}, arch sim-1x8x8 has"):
        device.load(workload(arch=arch_preset("sim-1x8x8")))
    with pytest.raises(DeviceError, match=r"made-up needs 1,0\d\d,\d\d\d bytes of memory, there are 65,536"):
        device.load(workload(memory=np.zeros(1_000_000, np.uint8)))
    device.load(workload())
    with pytest.raises(WorkloadError, match="made-up has no task 'b'; it has a"):
        device.run("b", IMAGE)
    with pytest.raises(WorkloadError, match=r"takes a uint8 image \[4, 16, 3\], got uint8\[2, 16, 3\]"):
        device.run("a", IMAGE[:2])
    machine.registers[0] = 0
    with pytest.raises(DeviceError, match="not idle"):
        device.run("a", IMAGE)


def test_a_machine_that_never_answers_is_given_up():
    """Not before the machine itself would have reported: its watchdog and its wait for a silent bus."""
    machine = Machine()
    machine.hang = True
    device = Device(machine)
    device.load(workload())
    with pytest.raises(DeviceError, match=f"no interrupt after {100 + GRACE_CYCLES:,} cycles"):
        device.run("a", IMAGE, watchdog_cycles=100)
    assert GRACE_CYCLES > REPORT_CYCLES > GIVE_UP_CYCLES


def test_refused_starts_say_what_heals():
    """BUS is an error of the run; the machine stays idle, so that the next run may be tried."""
    error = MachineError(int(ErrorCode.BUS), 0, "a")
    assert "BUS" in str(error)
    assert "reset the machine and its bus" in str(error)


def test_a_workload_keeps_its_image(tmp_path: Path):
    saved = workload()
    saved.save(tmp_path)
    loaded = Workload.load(tmp_path)
    assert np.array_equal(loaded.memory, saved.memory)
    assert (loaded.arch, loaded.tasks, loaded.image_shape) == (saved.arch, saved.tasks, saved.image_shape)
    assert loaded.memory_bytes == 3 * 4096
    data = bytearray((tmp_path / "memory.bin").read_bytes())
    data[7] ^= 1
    (tmp_path / "memory.bin").write_bytes(data)
    with pytest.raises(WorkloadError, match="does not match the sha256"):
        Workload.load(tmp_path)


def test_a_workload_pads_patches(tmp_path: Path):
    """Nine patches of 3 x 3 pixels and two channels are 9 x 2 squares of 16 x 16; the result lies behind them."""
    workload(image_shape=(9, 9, 2), patch=(3, 16)).save(tmp_path)
    loaded = Workload.load(tmp_path)
    image = np.arange(1, 9 * 9 * 2 + 1, dtype=np.uint8).reshape(9, 9, 2)
    planes = loaded.planar(image)
    assert planes.size == 9 * 2 * 256
    assert np.array_equal(planes.reshape(2, 3, 16, 3, 16)[:, :, :3, :, :3].reshape(2, 9, 9), image.transpose(2, 0, 1))
    assert np.count_nonzero(planes) == image.size
    assert loaded.result_offset - loaded.image_offset == 2 * 4096
    path = tmp_path / "workload.json"
    manifest = json.loads(path.read_text())
    del manifest["patch"]  # a version that padded nothing
    path.write_text(json.dumps(manifest))
    assert np.array_equal(Workload.load(tmp_path).planar(image), image.transpose(2, 0, 1).reshape(-1))


def test_a_workload_of_a_machine_that_is_not_known_is_refused(tmp_path: Path):
    saved = workload()
    for change, says in (
        ({"gigalanes": 3}, "gigalanes"),
        ({"token_lanes": 0}, "token_lanes = 0: must be a whole number"),
    ):
        saved.save(tmp_path)
        path = tmp_path / "workload.json"
        manifest = json.loads(path.read_text())
        manifest["arch"] |= change
        path.write_text(json.dumps(manifest))
        with pytest.raises(WorkloadError, match=rf"workload\.json: arch: .*{says}"):
            Workload.load(tmp_path)


def test_a_coroutine_that_suspends_is_refused():
    class Never:
        def __await__(self):
            yield

    async def wait():
        await Never()

    with pytest.raises(BackendError, match="a blocking backend suspended"):
        complete(wait())


def test_devmem_reads_and_writes_its_pages(tmp_path: Path):
    space = tmp_path / "mem"
    space.write_bytes(bytes(4 * mmap.PAGESIZE))
    backend = DevMemBackend(mmap.PAGESIZE, 2 * mmap.PAGESIZE, 2 * mmap.PAGESIZE, 100.0, device=space)
    complete(backend.write32(0x10, 0x12345678))
    complete(backend.write_memory(5, np.arange(10, dtype=np.uint8)))
    data = space.read_bytes()
    assert data[mmap.PAGESIZE + 0x10 :][:4] == (0x12345678).to_bytes(4, "little")
    assert data[2 * mmap.PAGESIZE + 5 :][:10] == bytes(range(10))
    assert complete(backend.read32(0x10)) == 0x12345678
    assert complete(backend.read_memory(6, 3)) == bytes([1, 2, 3])
    assert not complete(backend.wait_interrupt(1000))
    complete(backend.write32(BY_NAME["ISR"].offset, 1))
    assert complete(backend.wait_interrupt(1000))
    with pytest.raises(BackendError, match="must be multiples of 0x1000"):
        DevMemBackend(8, 0, 4096, 100.0, device=space)


def test_pynq_flushes_and_invalidates():
    calls: list[str] = []
    registers: dict[int, int] = {}

    class Buffer(np.ndarray):
        device_address = 0x4000

        def flush(self) -> None:
            calls.append("flush")

        def invalidate(self) -> None:
            calls.append("invalidate")

    buffer = np.zeros(64, np.uint8).view(Buffer)
    ip = SimpleNamespace(read=lambda offset: registers.get(offset, 0), write=registers.__setitem__)
    backend = PynqBackend(ip, buffer, 100.0)
    assert (backend.memory_address, backend.memory_bytes) == (0x4000, 64)
    complete(backend.write_memory(3, b"abc"))
    assert complete(backend.read_memory(3, 3)) == b"abc"
    assert calls == ["flush", "invalidate"]
    complete(backend.write32(4, 9))
    assert complete(backend.read32(4)) == 9
    assert not complete(backend.wait_interrupt(10))
