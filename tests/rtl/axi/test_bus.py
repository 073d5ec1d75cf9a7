"""Flat names of the top level: what Vivado and XRT look for, and which way every wire goes."""

from amaranth.back import verilog
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hwgen.rtl.axi.bus import axi4_lite, axi4_read, axi4_write, connect_flat, master_members, slave_members


class Part(wiring.Component):
    """A core that only reads, and a slave."""

    def __init__(self) -> None:
        super().__init__({"read": Out(axi4_read()), "control": In(axi4_lite(8))})

    def elaborate(self, platform: object) -> Module:
        """Wires that show where they come from."""
        m = Module()
        m.d.comb += [
            self.read.araddr.eq(self.read.rdata[:64] + 1),
            self.read.arvalid.eq(1),
            self.control.rdata.eq(self.control.araddr + 2),
        ]
        return m


class Top(wiring.Component):
    """Flat ports around the part."""

    def __init__(self) -> None:
        super().__init__(master_members("m_axi_gmem0") | slave_members("s_axi_control", 8))

    def elaborate(self, platform: object) -> Module:
        """Read channels connected, write channels tied off."""
        m = Module()
        m.submodules.part = part = Part()
        connect_flat(m, self, "m_axi_gmem0", part.read)
        connect_flat(m, self, "s_axi_control", part.control)
        return m


def test_names_and_directions() -> None:
    """Every channel has its Vivado name; master outputs are outputs, slave outputs are outputs."""
    text = verilog.convert(Top(), name="top")
    ports = {line.split()[-1].rstrip(";") for line in text.splitlines() if line.strip().startswith("output ")}
    masters = {f"m_axi_gmem0_{n}" for s in (axi4_read(), axi4_write()) for n, x in s.members.items() if x.flow == Out}
    slaves = {f"s_axi_control_{n}" for n, x in axi4_lite(8).members.items() if x.flow == In}
    assert masters | slaves <= ports
    assert {"m_axi_gmem0_araddr", "m_axi_gmem0_bready", "s_axi_control_awready"} <= ports
    assert len(masters) == 7 + 1 + 7 + 4 + 1
    assert len(slaves) == 8


def test_values_pass_and_write_channels_are_tied_off() -> None:
    """Both directions of both ports; nobody writes."""
    dut = Top()
    sim = Simulator(dut)

    async def bench(ctx):
        ctx.set(dut.m_axi_gmem0_rdata, 41)
        ctx.set(dut.s_axi_control_araddr, 5)
        assert ctx.get(dut.m_axi_gmem0_araddr) == 42
        assert ctx.get(dut.m_axi_gmem0_arvalid) == 1
        assert ctx.get(dut.s_axi_control_rdata) == 7
        assert ctx.get(dut.m_axi_gmem0_awvalid) == 0
        assert ctx.get(dut.m_axi_gmem0_wvalid) == 0

    sim.add_testbench(bench)
    sim.run()
