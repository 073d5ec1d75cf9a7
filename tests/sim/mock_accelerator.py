"""An accelerator with the real ports that computes nothing: it copies the image to the result and plays a trace."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.back import verilog
from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.bus import axi4_read, axi4_write, connect_flat, drive_constants, master_members, slave_members
from hwgen.rtl.control.control_registers import ControlRegisters
from hwgen.rtl.lib.trace import Trace
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import ErrorCode
from hwgen.spec.registers import REGISTER_ADDRESS_BITS
from hwgen.spec.trace import CONFLICT
from sim.bench import TOP

FAULT_PC = 3  # instruction that a read error is blamed on
HANG = 7  # with this watchdog it never ends


@dataclass(frozen=True)
class Played:
    """One record: channel, fields by name, lanes as one number; of channel ``conflict``: the writers as one number."""

    channel: str
    fields: dict[str, int]
    data: int = 0


class MockAccelerator(wiring.Component):
    """Copies ``beats`` beats, one at a time, then plays ``script``, one record a cycle."""

    def __init__(self, arch: ArchConfig, beats: int, script: Sequence[Played]) -> None:
        self._arch, self._beats, self._script = arch, beats, script
        members = {"ap_clk": In(1), "ap_rst_n": In(1), "interrupt": Out(1)}
        members |= slave_members("s_axi_control", REGISTER_ADDRESS_BITS)
        for port in range(2):
            members |= master_members(f"m_axi_gmem{port}")
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.ap_clk), ResetSignal().eq(~self.ap_rst_n)]
        m.submodules.registers = registers = ControlRegisters()
        m.d.comb += [self.interrupt.eq(registers.interrupt), registers.arch_id.eq(self._arch.arch_id)]
        connect_flat(m, self, "s_axi_control", registers.bus)
        step = Signal(range(len(self._script) + 1))
        self._control(m, registers, step)
        self._play(m, step)
        return m

    def _control(self, m: Module, registers: ControlRegisters, step: Signal) -> None:
        reader, writer = axi4_read().create(), axi4_write().create()
        connect_flat(m, self, "m_axi_gmem0", reader)
        connect_flat(m, self, "m_axi_gmem1", writer)
        drive_constants(m, reader, "r")
        drive_constants(m, writer, "w")
        beat = Signal(range(self._beats + 1))
        m.d.comb += [
            reader.araddr.eq(registers.image + 16 * beat),
            writer.awaddr.eq(registers.result + 16 * beat),
            writer.wstrb.eq(0xFFFF),
            writer.wlast.eq(1),
            registers.mac_cycles.eq(self._beats),
        ]
        with m.If(~registers.idle):
            m.d.sync += registers.cycles.eq(registers.cycles + 1)
        with m.FSM() as fsm:
            m.d.comb += registers.idle.eq(fsm.ongoing("IDLE"))
            with m.State("IDLE"), m.If(registers.start & (registers.watchdog != HANG)):
                m.d.comb += registers.accepted.eq(1)
                m.d.sync += [beat.eq(0), step.eq(0), registers.cycles.eq(0), registers.error_code.eq(0)]
                m.next = "ADDRESS"
            with m.State("ADDRESS"):
                m.d.comb += reader.arvalid.eq(1)
                with m.If(reader.arready):
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += reader.rready.eq(1)
                with m.If(reader.rvalid):
                    m.d.sync += [writer.wdata.eq(reader.rdata), writer.awvalid.eq(1), writer.wvalid.eq(1)]
                    m.next = "WRITE"
                    with m.If(reader.rresp != 0):
                        m.d.sync += [writer.awvalid.eq(0), writer.wvalid.eq(0)]
                        m.d.sync += [registers.error_code.eq(int(ErrorCode.AXI_READ)), registers.error_pc.eq(FAULT_PC)]
                        m.next = "DONE"
            with m.State("WRITE"):
                m.d.comb += writer.bready.eq(1)
                with m.If(writer.awready):
                    m.d.sync += writer.awvalid.eq(0)
                with m.If(writer.wready):
                    m.d.sync += writer.wvalid.eq(0)
                with m.If(writer.bvalid):
                    m.d.sync += beat.eq(beat + 1)
                    m.next = "ADDRESS"
                    with m.If(beat == self._beats - 1):
                        m.next = "PLAY"
            with m.State("PLAY"):
                m.d.sync += step.eq(step + 1)
                with m.If(step == len(self._script) - 1):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += registers.done.eq(1)
                m.next = "IDLE"

    def _play(self, m: Module, step: Signal) -> None:
        """Records, in the cycles in which ``step`` has just been counted."""
        m.submodules.trace = trace = Trace(self._arch)
        before = Signal.like(step)
        m.d.sync += before.eq(step)
        with m.If(step != before), m.Switch(before):
            for index, record in enumerate(self._script):
                with m.Case(index):
                    if record.channel == CONFLICT.name:
                        m.d.comb += trace.writers.as_value().eq(record.data)
                        continue
                    port = getattr(trace, record.channel)
                    m.d.comb += port.valid.eq(1)
                    m.d.comb += [getattr(port, name).eq(value) for name, value in record.fields.items()]
                    if record.data:
                        m.d.comb += port.data.eq(record.data)


def mock_verilog(arch: ArchConfig, beats: int, script: Sequence[Played]) -> str:
    """Verilog with the same top module and ports as the accelerator."""
    return verilog.convert(MockAccelerator(arch, beats, script), name=TOP, emit_src=False, strip_internal_attrs=True)
