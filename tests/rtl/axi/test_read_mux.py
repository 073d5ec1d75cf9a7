"""Read multiplexer: every client gets its own data, in order, fairly."""

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from hwgen.rtl.axi.read_engine import ReadEngine
from hwgen.rtl.axi.read_mux import ReadMux
from tests.rtl.arches import small_arch
from tests.rtl.axi_bench import PulseLog, ReadSlave, StreamSink, StreamSource, ddr_beat, wait_until


def _shared(arch, clients: int):
    m = Module()
    m.submodules.mux = mux = ReadMux(arch, clients)
    engines = [ReadEngine(arch) for _ in range(clients)]
    for index, engine in enumerate(engines):
        m.submodules[f"engine_{index}"] = engine
        connect(m, engine.bus, mux.clients[index])
    sim = Simulator(m)
    sim.add_clock(1e-6)
    return sim, mux, engines


@pytest.mark.parametrize(("clients", "stall"), [(2, 0.0), (2, 0.4), (3, 0.3)])
def test_data_belongs_to_its_client(clients: int, stall: float) -> None:
    """Clients with different transfers at once: each stream is that of its own addresses."""
    arch = small_arch(2, 8, 8, burst_beats=4, outstanding=2)
    sim, mux, engines = _shared(arch, clients)
    slave = ReadSlave(mux.bus, stall, 1, latency=12, burst_limit=4, outstanding=2 * clients)
    sim.add_process(slave.process)
    sinks, wants = [], []
    for index, engine in enumerate(engines):
        commands = [(0x10000 * (index + 1) + 0x1230 + 0x400 * k, 3 + 5 * k + index) for k in range(6)]
        source = StreamSource(engine.command, [{"address": a, "beats": n} for a, n in commands], stall, 10 + index)
        sinks.append(StreamSink(engine.beats, stall, 20 + index))
        wants.append([ddr_beat(a + 16 * i) for a, n in commands for i in range(n)])
        sim.add_process(source.process)
        sim.add_process(sinks[-1].process)

    async def bench(ctx):
        total = sum(map(len, wants))
        await wait_until(ctx, lambda: sum(len(sink.items) for sink in sinks) == total)

    sim.add_testbench(bench)
    sim.run()
    assert sum(map(len, wants)) > 150
    assert [sink.items for sink in sinks] == wants
    order = [burst.address >> 16 for burst in slave.bursts[: 4 * clients]]
    assert {order.count(index + 1) for index in range(clients)} <= {3, 4, 5}, f"not fair: {order}"


def test_timing() -> None:
    """Latency of a request and interval of bursts."""
    arch = small_arch(2, 8, 8, burst_beats=4, outstanding=4)
    sim, mux, engines = _shared(arch, 2)
    sim.add_process(ReadSlave(mux.bus, 0.0, 1, burst_limit=4).process)
    source = StreamSource(engines[0].command, [{"address": 0, "beats": 16}])
    sink = StreamSink(engines[0].beats)
    asked, shown = PulseLog(mux.clients[0].arvalid), PulseLog(mux.bus.arvalid)
    for part in (source, sink, asked, shown):
        sim.add_process(part.process)

    async def bench(ctx):
        await wait_until(ctx, lambda: len(sink.items) == 16)

    sim.add_testbench(bench)
    sim.run()
    assert shown.entries[0][0] - asked.entries[0][0] == ReadMux.request_latency
    assert shown.entries[1][0] - shown.entries[0][0] == ReadMux.burst_interval
    assert sink.cycles[-1] - sink.cycles[0] == 15


def test_arguments() -> None:
    """One client needs no multiplexer."""
    with pytest.raises(ValueError, match="at least 2 clients, got 1"):
        ReadMux(small_arch(2, 8, 8), 1)
