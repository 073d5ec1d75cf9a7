"""Patch gather against ``golden.patches`` for every shape of patch and word."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from golden.patches import patch_rows
from hwgen.rtl.axi.read_engine import ReadEngine
from hwgen.rtl.io.patch_gather import LANE_BYTES, PatchGather
from hwgen.spec.encoding import encode
from hwgen.spec.isa import Counter, Opcode
from tests.rtl.arches import small_arch
from tests.rtl.axi_bench import PulseLog, ReadSlave, wait_until

IMAGE = 0x5_0000_0F80


class Gather:
    """A gather unit with its read engine and an image in memory."""

    def __init__(self, image: np.ndarray, patch: int, lanes: int, stall: float, base: int = 5, **arch_changes) -> None:
        self.image, self.patch = image, patch
        height, width, channels = image.shape
        self.arch = arch = small_arch(2, 8, lanes, **arch_changes)
        self.columns = width // patch
        self.row_words = arch.words(channels * patch * patch)
        self.stride = self.row_words + 1
        m = Module()
        m.submodules.dut = self.dut = PatchGather(arch)
        m.submodules.engine = engine = ReadEngine(arch)
        connect(m, self.dut.command, engine.command)
        connect(m, engine.beats, self.dut.beats)
        self.sim = Simulator(m)
        self.sim.add_clock(1e-6)
        planes = np.ascontiguousarray(image.transpose(2, 0, 1)).tobytes()

        def read(address: int) -> int:
            at = address - IMAGE
            assert 0 <= at <= len(planes) - 16
            return int.from_bytes(planes[at : at + 16], "little")

        self.slave = ReadSlave(engine.bus, stall, 3, latency=7, read=read)
        port = self.dut.activation
        self.writes = PulseLog(port.enable.any(), port.enable, port.address, port.data)
        progress = self.dut.progress
        self.progress = PulseLog(progress.valid, progress.counter, progress.count)
        self.overflow = PulseLog(self.dut.overflow)
        for part in (self.slave, self.writes, self.progress, self.overflow):
            self.sim.add_process(part.process)
        self.word = encode(
            Opcode.LOAD_PATCHES,
            patch=patch,
            patch_rows=height // patch,
            patch_columns=self.columns,
            channels=channels,
            width=width,
            plane_bytes=height * width,
            dst_base=base,
            dst_stride=self.stride,
        )
        self.base = base

    def run(self) -> int:
        """One instruction; cycles in which the unit was busy."""
        cycles = []

        async def bench(ctx):
            ctx.set(self.dut.word, self.word)
            ctx.set(self.dut.image, IMAGE)
            ctx.set(self.dut.start, 1)
            await ctx.tick()
            ctx.set(self.dut.start, 0)
            cycles.append(await wait_until(ctx, lambda: not ctx.get(self.dut.busy)))
            await ctx.tick().repeat(4)

        self.sim.add_testbench(bench)
        self.sim.run()
        return cycles[0]

    def buffer(self) -> np.ndarray:
        """Bytes of the activation buffer after all writes; it starts with zeros."""
        lanes = self.arch.output_lanes
        memory = np.zeros((self.arch.activation_words, lanes), dtype=np.int8)
        for _, enable, address, data in self.writes.entries:
            word = np.frombuffer(data.to_bytes(lanes, "little"), dtype=np.int8)
            for lane in range(lanes // LANE_BYTES):
                if enable >> lane & 1:
                    at = slice(lane * LANE_BYTES, (lane + 1) * LANE_BYTES)
                    memory[address, at] = word[at]
        return memory

    def expected(self) -> np.ndarray:
        """The same from the golden patches."""
        rows = patch_rows(self.image, self.patch).astype(np.int8)
        lanes = self.arch.output_lanes
        memory = np.zeros((self.arch.activation_words, lanes), dtype=np.int8)
        for index, row in enumerate(rows):
            at = self.base + index * self.stride
            padded = np.zeros(self.row_words * lanes, dtype=np.int8)
            padded[: len(row)] = row
            memory[at : at + self.row_words] = padded.reshape(-1, lanes)
        return memory


def _image(height: int, width: int, channels: int) -> np.ndarray:
    image = np.random.default_rng(height).integers(0, 256, (height, width, channels), dtype=np.uint8)
    image[0, :4, 0] = (0, 1, 128, 255)
    return image


@pytest.mark.parametrize(
    ("patch", "lanes", "shape", "stall"),
    [
        (8, 8, (16, 48, 3), 0.3),
        (8, 32, (24, 16, 3), 0.0),
        (8, 64, (16, 32, 2), 0.3),
        (16, 8, (16, 32, 3), 0.2),
        (16, 16, (32, 48, 1), 0.3),
        (16, 32, (32, 32, 3), 0.0),
        (32, 64, (32, 64, 1), 0.2),
        (24, 32, (24, 48, 2), 0.2),
    ],
)
def test_rows_equal_golden(patch: int, lanes: int, shape: tuple[int, int, int], stall: float) -> None:
    """Every byte of the buffer, padding and untouched words included; progress once per band, after its writes."""
    bench = Gather(_image(*shape), patch, lanes, stall, activation_bytes=16384)
    bench.run()
    got, want = bench.buffer(), bench.expected()
    assert np.count_nonzero(want) > 0.9 * np.prod(shape)
    np.testing.assert_array_equal(got, want)
    bands = shape[0] // patch
    assert [entry[1:] for entry in bench.progress.entries] == [(Counter.PATCH, bench.columns)] * bands
    for band, (cycle, _, _) in enumerate(bench.progress.entries):
        end = bench.base + (band + 1) * bench.columns * bench.stride
        assert all(entry[0] <= cycle for entry in bench.writes.entries if entry[2] < end)
    assert not bench.overflow.entries
    assert len(bench.slave.bursts) > 0


@pytest.mark.parametrize(("patch", "lanes"), [(8, 32), (16, 32), (16, 8)])
def test_timing(patch: int, lanes: int) -> None:
    """Cycles per beat and latency of a write."""
    bench = Gather(_image(32, 64, 3), patch, lanes, 0.0, activation_bytes=16384)
    beats = PulseLog(bench.dut.beats.valid & bench.dut.beats.ready)
    valid = PulseLog(bench.dut.beats.valid)
    bench.sim.add_process(beats.process)
    bench.sim.add_process(valid.process)
    bench.run()
    per_beat = bench.dut.cycles_per_beat(patch)
    writes = [entry[0] for entry in bench.writes.entries]
    assert len(writes) == per_beat * len(beats.entries) == per_beat * 32 * 64 * 3 // 16
    assert writes[0] - valid.entries[0][0] == bench.dut.write_latency
    assert writes[per_beat * 16 - 1] - writes[0] == per_beat * 16 - 1


def test_out_of_bounds_writes_nothing_more() -> None:
    """The first address past the buffer is reported once; everything before it is right."""
    image = _image(32, 32, 3)
    bench = Gather(image, 8, 16, 0.0, base=3, activation_bytes=100 * 16)
    bench.run()
    assert len(bench.overflow.entries) == 1
    assert max(entry[2] for entry in bench.writes.entries) < 100
    stop = bench.overflow.entries[0][0]
    assert all(entry[0] < stop for entry in bench.writes.entries)
    assert len(bench.writes.entries) > 50


def test_bad_shapes_do_nothing() -> None:
    """A patch side of 12 is reported; no channels or no bands is an empty instruction."""
    image = _image(16, 32, 1)
    bench = Gather(image, 8, 8, 0.0)
    base = {"patch": 8, "patch_rows": 2, "patch_columns": 4, "channels": 1, "width": 32, "plane_bytes": 512}
    for change, overflows in (({"patch": 12}, 1), ({"channels": 0}, 0), ({"patch_rows": 0}, 0), ({"width": 0}, 0)):
        bench = Gather(image, 8, 8, 0.0)
        bench.word = encode(Opcode.LOAD_PATCHES, **(base | change))
        assert bench.run() < 5
        assert len(bench.overflow.entries) == overflows, change
        assert not bench.writes.entries
        assert not bench.slave.bursts
