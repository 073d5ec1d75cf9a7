"""Control registers against a plain model: map, byte strobes, handshake, interrupt."""

import random

from amaranth.sim import Simulator

from hwgen.rtl.control.control_registers import ControlRegisters, host_registers, member_name
from hwgen.spec.registers import BY_NAME, REGISTERS


class Host:
    """An AXI4-Lite master; the write channels come in any order and answers are taken late at random."""

    def __init__(self, bus, seed: int = 1) -> None:
        self.bus, self.random = bus, random.Random(seed)

    async def write(self, ctx, offset: int, value: int, strobes: int = 15) -> None:
        """One write; returns after the response."""
        bus = self.bus
        waits = {"aw": self.random.randrange(3), "w": self.random.randrange(3)}
        ctx.set(bus.awaddr, offset)
        ctx.set(bus.wdata, value)
        ctx.set(bus.wstrb, strobes)
        left = {"aw", "w"}
        while left:
            for name in left:
                ctx.set(getattr(bus, f"{name}valid"), waits[name] <= 0)
            done = {n for n in left if waits[n] <= 0 and ctx.get(getattr(bus, f"{n}ready"))}
            await ctx.tick()
            for name in ("aw", "w"):
                waits[name] -= 1
                if name in done:
                    ctx.set(getattr(bus, f"{name}valid"), 0)
            left -= done
        assert await self._answer(ctx, "b", lambda: ctx.get(bus.bresp)) == 0

    async def read(self, ctx, offset: int) -> int:
        """One read."""
        bus = self.bus
        ctx.set(bus.araddr, offset)
        ctx.set(bus.arvalid, 1)
        while not ctx.get(bus.arready):
            await ctx.tick()
        await ctx.tick()
        ctx.set(bus.arvalid, 0)
        return await self._answer(ctx, "r", lambda: (ctx.get(bus.rresp), ctx.get(bus.rdata))[1])

    async def _answer(self, ctx, name: str, value) -> int:
        valid, ready = getattr(self.bus, f"{name}valid"), getattr(self.bus, f"{name}ready")
        for _ in range(self.random.randrange(3)):
            await ctx.tick()
        for _ in range(20):
            if ctx.get(valid):
                break
            await ctx.tick()
        assert ctx.get(valid), "no answer"
        got = value()
        ctx.set(ready, 1)
        await ctx.tick()
        ctx.set(ready, 0)
        return got


def _run(bench) -> None:
    dut = ControlRegisters()
    sim = Simulator(dut)
    sim.add_clock(1e-6)

    async def testbench(ctx):
        ctx.set(dut.idle, 1)
        await bench(ctx, dut, Host(dut.bus))

    sim.add_testbench(testbench)
    sim.run()


async def _pulse(ctx, signal) -> None:
    ctx.set(signal, 1)
    await ctx.tick()
    ctx.set(signal, 0)


def test_random_accesses_equal_a_model() -> None:
    """Writable words honour strobes, read-only words follow their port, everything else is zero."""

    async def bench(ctx, dut, host):
        rng = random.Random(4)
        model: dict[int, int] = {}
        ports: dict[int, int] = {}
        for item in host_registers("ro"):
            value = rng.getrandbits(item.bits)
            ctx.set(getattr(dut, member_name(item)), value)
            for part in range(item.bits // 32):
                ports[item.offset + 4 * part] = value >> 32 * part & 0xFFFFFFFF
        writable = {i.offset + 4 * p: i for i in host_registers("rw") for p in range(i.bits // 32)}
        special = {BY_NAME[name].offset for name in ("AP_CTRL", "GIE", "IER", "ISR")}
        offsets = [o for o in range(0, 256, 4) if o not in special]
        compared = 0
        for _ in range(150):
            offset, value, strobes = rng.choice(offsets), rng.getrandbits(32), rng.randrange(16)
            await host.write(ctx, offset, value, strobes)
            if offset in writable:
                mask = sum(255 << 8 * i for i in range(4) if strobes >> i & 1)
                model[offset] = (model.get(offset, 0) & ~mask) | (value & mask)
            offset = rng.choice(offsets)
            want = ports.get(offset, model.get(offset, 0))
            assert await host.read(ctx, offset) == want, hex(offset)
            compared += 1
        for offset in offsets:
            assert await host.read(ctx, offset) == ports.get(offset, model.get(offset, 0)), hex(offset)
            compared += 1
        await _pulse(ctx, dut.accepted)
        for item in host_registers("rw"):
            want = sum(model.get(item.offset + 4 * p, 0) << 32 * p for p in range(item.bits // 32))
            assert ctx.get(getattr(dut, member_name(item))) == want, item.name
        assert compared == 150 + 60
        assert len(ports) == sum(item.bits // 32 for item in REGISTERS if item.access == "ro")

    _run(bench)


def test_a_run_keeps_the_values_of_its_start() -> None:
    """Pointers and bound that are written during a run count from the next start on; the watchdog counts at once."""

    async def bench(ctx, dut, host):
        kept = [item for item in host_registers("rw") if item.at_start]
        assert [item.name for item in kept] == ["PROGRAM", "MODEL", "IMAGE", "RESULT", "RESULT_BYTES"]
        for run in range(1, 4):
            for item in kept:
                await host.write(ctx, item.offset, 0x1000 * run + item.offset * 32)
                assert ctx.get(getattr(dut, member_name(item))) == (run > 1) * (0x1000 * (run - 1) + item.offset * 32)
            await _pulse(ctx, dut.accepted)
            for item in kept:
                assert ctx.get(getattr(dut, member_name(item))) == 0x1000 * run + item.offset * 32
        await host.write(ctx, BY_NAME["WATCHDOG"].offset, 5)
        assert ctx.get(dut.watchdog) == 5

    _run(bench)


def test_misaligned() -> None:
    """Any low bit that a pointer must not have shows from the start on; RESULT_BYTES and WATCHDOG take any value."""

    async def bench(ctx, dut, host):
        checked = 0
        for item in host_registers("rw"):
            for bit in range(8):
                await host.write(ctx, item.offset, 1 << bit)
                assert ctx.get(dut.misaligned) == 0, "not taken before the start"
                await _pulse(ctx, dut.accepted)
                assert ctx.get(dut.misaligned) == (1 << bit < item.multiple_of), (item.name, bit)
                await host.write(ctx, item.offset, 0)
                await _pulse(ctx, dut.accepted)
                checked += 1
        assert checked == 6 * 8

    _run(bench)


def test_no_path_from_an_input_to_an_output() -> None:
    """The ready of an address does not follow the ready of the data, nor any output any input, in the same cycle."""

    async def bench(ctx, dut, host):
        bus, outputs = dut.bus, ("awready", "wready", "bvalid", "arready", "rvalid", "rdata")
        inputs = ("awvalid", "wvalid", "bready", "arvalid", "rready")
        rng, differing = random.Random(8), 0
        for _ in range(200):
            before = [ctx.get(getattr(bus, name)) for name in outputs]
            for name in inputs:
                ctx.set(getattr(bus, name), rng.randrange(2))
            ctx.set(bus.araddr, 4 * rng.randrange(64))
            assert [ctx.get(getattr(bus, name)) for name in outputs] == before
            await ctx.tick()
            differing += before != [ctx.get(getattr(bus, name)) for name in outputs]
        assert differing > 50

    _run(bench)


def test_read_data_is_held() -> None:
    """Data that waits for the master stays, whatever the register does and whatever else is asked."""

    async def bench(ctx, dut, host):
        held = 0
        for value in (7, 0xFFFFFFFF, 1):
            ctx.set(dut.error_pc, value & 0xFFFF)
            ctx.set(dut.arch_id, value)
            ctx.set(dut.bus.araddr, BY_NAME["ARCH_ID"].offset)
            ctx.set(dut.bus.arvalid, 1)
            await ctx.tick()
            ctx.set(dut.bus.araddr, BY_NAME["ERROR_PC"].offset)
            for cycle in range(6):
                ctx.set(dut.arch_id, cycle)
                assert (ctx.get(dut.bus.rvalid), ctx.get(dut.bus.rdata)) == (1, value)
                await ctx.tick()
                held += 1
            ctx.set(dut.bus.arvalid, 0)
            ctx.set(dut.bus.rready, 1)
            await ctx.tick()
            ctx.set(dut.bus.rready, 0)
        assert held == 18

    _run(bench)


async def _write_in_the_cycle_of(ctx, dut, name: str, pulse) -> None:
    """A write of one that takes effect in the cycle in which ``pulse`` is high."""
    for port, value in (("awaddr", BY_NAME[name].offset), ("wdata", 1), ("wstrb", 15), ("awvalid", 1), ("wvalid", 1)):
        ctx.set(getattr(dut.bus, port), value)
    await ctx.tick().repeat(dut.write_latency - 1)
    ctx.set(dut.bus.awvalid, 0)
    ctx.set(dut.bus.wvalid, 0)
    await _pulse(ctx, pulse)


def test_writes_in_the_cycle_of_an_event() -> None:
    """A run that ends while ISR is written is seen; a start that is written while one is accepted is another one."""

    async def bench(ctx, dut, host):
        for name in ("GIE", "IER"):
            await host.write(ctx, BY_NAME[name].offset, 1)
        for pending in (0, 1):
            assert ctx.get(dut.interrupt) == pending
            await _write_in_the_cycle_of(ctx, dut, "ISR", dut.done)
            assert ctx.get(dut.interrupt) == 1
            ctx.set(dut.bus.bready, 1)
            await ctx.tick().repeat(2)
            ctx.set(dut.bus.bready, 0)
        await host.write(ctx, 0, 1)
        await _write_in_the_cycle_of(ctx, dut, "AP_CTRL", dut.accepted)
        assert ctx.get(dut.start) == 1
        await _pulse(ctx, dut.accepted)
        assert ctx.get(dut.start) == 0

    _run(bench)


def test_start_done_idle_ready() -> None:
    """Start holds until accepted; done and ready clear on read; idle is live; a start during a run waits."""

    async def bench(ctx, dut, host):
        assert await host.read(ctx, 0) == 4
        await host.write(ctx, 0, 1, 0b1110)
        assert ctx.get(dut.start) == 0, "byte 0 was not enabled"
        await host.write(ctx, 0, 0xFE)
        assert ctx.get(dut.start) == 0, "only bit 0 starts"
        await host.write(ctx, 0, 1)
        assert ctx.get(dut.start) == 1
        assert await host.read(ctx, 0) == 5
        ctx.set(dut.idle, 0)
        await _pulse(ctx, dut.accepted)
        assert await host.read(ctx, 0) == 0
        await host.write(ctx, 0, 1)
        assert await host.read(ctx, 0) == 1
        await _pulse(ctx, dut.done)
        ctx.set(dut.idle, 1)
        assert await host.read(ctx, 0) == 0b1111
        assert await host.read(ctx, 0) == 0b0101
        await _pulse(ctx, dut.accepted)
        assert await host.read(ctx, 0) == 4
        assert ctx.get(dut.interrupt) == 0

    _run(bench)


def test_done_wins_over_the_read_that_clears_it() -> None:
    """A run that ends in the cycle of a status read is seen by the next read."""

    async def bench(ctx, dut, host):
        ctx.set(dut.bus.araddr, 0)
        ctx.set(dut.bus.arvalid, 1)
        ctx.set(dut.done, 1)
        await ctx.tick()
        ctx.set(dut.done, 0)
        ctx.set(dut.bus.arvalid, 0)
        assert ctx.get(dut.bus.rdata) == 4
        ctx.set(dut.bus.rready, 1)
        await ctx.tick()
        ctx.set(dut.bus.rready, 0)
        assert await host.read(ctx, 0) == 0b1110

    _run(bench)


def test_interrupt() -> None:
    """Level of GIE and IER and ISR; ISR is set only when enabled and toggles on write."""

    async def bench(ctx, dut, host):
        gie, ier, isr = (BY_NAME[name].offset for name in ("GIE", "IER", "ISR"))
        await _pulse(ctx, dut.done)
        assert await host.read(ctx, isr) == 0
        await host.write(ctx, ier, 0xFFFFFFFF)
        assert await host.read(ctx, ier) == 1
        await _pulse(ctx, dut.done)
        assert await host.read(ctx, isr) == 1
        assert ctx.get(dut.interrupt) == 0
        await host.write(ctx, gie, 1)
        assert ctx.get(dut.interrupt) == 1
        await ctx.tick().repeat(5)
        assert ctx.get(dut.interrupt) == 1
        await host.write(ctx, isr, 0)
        assert ctx.get(dut.interrupt) == 1
        await host.write(ctx, isr, 1)
        assert ctx.get(dut.interrupt) == 0
        await host.write(ctx, isr, 1)
        assert ctx.get(dut.interrupt) == 1
        await host.write(ctx, ier, 0)
        assert ctx.get(dut.interrupt) == 0

    _run(bench)


def test_timing() -> None:
    """Cycles of a write and of a read."""

    async def bench(ctx, dut, host):
        bus = dut.bus
        for name, value in (("awaddr", 0x30), ("wdata", 77), ("wstrb", 15), ("awvalid", 1), ("wvalid", 1)):
            ctx.set(getattr(bus, name), value)
        await ctx.tick()
        ctx.set(bus.awvalid, 0)
        ctx.set(bus.wvalid, 0)
        cycles = 1
        while ctx.get(dut.watchdog) != 77:
            await ctx.tick()
            cycles += 1
        assert cycles == dut.write_latency
        ctx.set(bus.araddr, 0x30)
        ctx.set(bus.arvalid, 1)
        await ctx.tick().repeat(dut.read_latency)
        assert (ctx.get(bus.rvalid), ctx.get(bus.rdata)) == (1, 77)

    _run(bench)
