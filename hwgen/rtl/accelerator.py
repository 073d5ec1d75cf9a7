"""The accelerator: every unit, wired. The top level of the Verilog."""

from amaranth.hdl import ClockDomain, Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.bus import BUS_DOMAIN, connect_flat, master_members, slave_members
from hwgen.rtl.axi.read_mux import ReadMux
from hwgen.rtl.control.control_registers import ControlRegisters
from hwgen.rtl.control.perf_counters import PerfCounters
from hwgen.rtl.control.sequencer import Sequencer
from hwgen.rtl.core import Core
from hwgen.spec.arch import ArchConfig
from hwgen.spec.registers import REGISTER_ADDRESS_BITS


class Accelerator(wiring.Component):
    """Control registers, sequencer and performance counters around the core that runs the instructions.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    ap_clk, ap_rst_n: In(1). interrupt: Out(1), level.
    s_axi_control_*: AXI4-Lite slave, hwgen/spec/registers.py.
    m_axi_gmem0_* ..: AXI4 masters of 128 bits; the first ``weight_ports`` fill the rings, the last one does the rest.

    Timing: one clock; the reset is synchronous and active low. What a core reset must not touch is in a domain of its
    own (``on_bus``) with the same clock.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        members = {"ap_clk": In(1), "ap_rst_n": In(1), "interrupt": Out(1)}
        members |= slave_members("s_axi_control", REGISTER_ADDRESS_BITS)
        for port in range(arch.weight_ports + 1):
            members |= master_members(f"m_axi_gmem{port}")
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Clock, control, core, ports."""
        m = Module()
        for domain in (ClockDomain("sync"), ClockDomain(BUS_DOMAIN)):
            m.domains += domain
            m.d.comb += [domain.clk.eq(self.ap_clk), domain.rst.eq(~self.ap_rst_n)]
        core = Core(self._arch)
        counts = {"faults": core.fault_count(self._arch), "idles": core.idle_count, "engines": core.engine_count}
        sequencer = Sequencer(self._arch, **counts)
        core_reset = Signal()
        m.d.comb += core_reset.eq(sequencer.core_reset)
        m.submodules.core = ResetInserter(core_reset)(core)
        m.submodules.sequencer = sequencer
        m.submodules.registers = registers = ControlRegisters()
        m.submodules.counters = counters = PerfCounters(self._arch.weight_ports + 2)
        read_mux = ReadMux(self._arch, 2)
        m.submodules.read_mux = read_mux
        self._control(m, registers, sequencer)
        self._run(m, sequencer, core, registers)
        self._count(m, counters, core, sequencer, registers)
        self._ports(m, registers, core, sequencer, read_mux)
        return m

    def _control(self, m: Module, registers: ControlRegisters, sequencer: Sequencer) -> None:
        """Start, end and error of a run."""
        m.d.comb += [
            self.interrupt.eq(registers.interrupt),
            sequencer.start.eq(registers.start),
            registers.accepted.eq(sequencer.accepted),
            registers.done.eq(sequencer.done),
            registers.idle.eq(sequencer.idle),
            sequencer.program.eq(registers.program),
            sequencer.misaligned.eq(registers.misaligned),
            sequencer.watchdog.eq(registers.watchdog),
            registers.error_code.eq(sequencer.error_code),
            registers.error_pc.eq(sequencer.error_pc),
            registers.arch_id.eq(self._arch.arch_id),
        ]

    def _run(self, m: Module, sequencer: Sequencer, core: Core, registers: ControlRegisters) -> None:
        """Instructions to the core, its state back."""
        for name in ("load", "io", "compute", "norm"):
            wiring.connect(m, getattr(sequencer, name), getattr(core, name))
        for outer, inner in zip(core.faults, sequencer.faults, strict=True):
            m.d.comb += [inner.valid.eq(outer.valid), inner.code.eq(outer.code), inner.pc.eq(outer.pc)]
        m.d.comb += [
            sequencer.idles.eq(core.idles),
            sequencer.busy.eq(core.busy),
            core.halt.eq(sequencer.halt),
            core.model.eq(registers.model),
            core.image.eq(registers.image),
            core.result.eq(registers.result),
            core.result_bytes.eq(registers.result_bytes),
        ]

    def _count(
        self, m: Module, counters: PerfCounters, core: Core, sequencer: Sequencer, registers: ControlRegisters
    ) -> None:
        """Events of the core, counted while a run is on."""
        m.d.comb += [
            counters.clear.eq(sequencer.accepted),
            counters.running.eq(sequencer.running),
            counters.read_beats.eq(core.read_beats | (sequencer.beat << len(core.read_beats))),
        ]
        for name in core.events:
            m.d.comb += getattr(counters, name).eq(getattr(core, name))
        for name in counters.counts.signature.members:
            m.d.comb += getattr(registers, name).eq(getattr(counters.counts, name))

    def _ports(
        self, m: Module, registers: ControlRegisters, core: Core, sequencer: Sequencer, read_mux: ReadMux
    ) -> None:
        """Flat names at the top: weight ports straight through, the last port shared by program, IO and results."""
        connect_flat(m, self, "s_axi_control", registers.bus)
        for port in range(self._arch.weight_ports):
            connect_flat(m, self, f"m_axi_gmem{port}", core.weight_bus[port])
        last = f"m_axi_gmem{self._arch.weight_ports}"
        wiring.connect(m, sequencer.bus, read_mux.clients[0])
        wiring.connect(m, core.read_bus, read_mux.clients[1])
        connect_flat(m, self, last, read_mux.bus)
        connect_flat(m, self, last, core.write_bus)
