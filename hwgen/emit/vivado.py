"""A Vivado project for a Zynq UltraScale+ board: wrapper with interface attributes, and the Tcl script."""

from typing import Literal

from hwgen.emit.c_header import TOP
from hwgen.emit.ports import Port, interfaces
from hwgen.emit.templates import render
from hwgen.spec.board import Board

WRAPPER = "hwgen_top"
VERILOG_FILE = f"{TOP}.v"
WRAPPER_FILE = f"{WRAPPER}.v"


# Transaction ids of an AXI4 master: signal -> direction, and the address channel that it belongs to. The accelerator
# has none (each master takes its answers in order); slaves and bus models that want ids get one that is always 0.
IDS: dict[str, tuple[Literal["input", "output"], str]] = {
    "awid": ("output", "aw"),
    "bid": ("input", "aw"),
    "arid": ("output", "ar"),
    "rid": ("input", "ar"),
}

# Ports from the fabric to the DDR of a Zynq UltraScale+, the plain ones first.
MEMORY_PORTS = (*(f"S_AXI_HP{i}_FPD" for i in range(4)), *(f"S_AXI_HPC{i}_FPD" for i in range(2)))


def _attributes(port: Port, buses: tuple[str, ...]) -> str:
    """Interface attributes of the three ports whose names do not say enough."""
    about = {
        "ap_clk": ("clock:1.0 ap_clk CLK", f"ASSOCIATED_BUSIF {':'.join(buses)}, ASSOCIATED_RESET ap_rst_n"),
        "ap_rst_n": ("reset:1.0 ap_rst_n RST", "POLARITY ACTIVE_LOW"),
        "interrupt": ("interrupt:1.0 interrupt INTERRUPT", "SENSITIVITY LEVEL_HIGH"),
    }
    if port.name not in about:
        return ""
    info, parameter = about[port.name]
    return f'(* X_INTERFACE_INFO = "xilinx.com:signal:{info}", X_INTERFACE_PARAMETER = "{parameter}" *)'


def id_ports(ports: list[Port]) -> list[Port]:
    """The ports that only the wrapper has: ids of one bit, for every address channel of every AXI4 master."""
    names = {port.name for port in ports}
    masters = [bus for bus in interfaces(ports) if bus.startswith("m_axi_")]
    return [
        Port(f"{bus}_{name}", direction, 1)
        for bus in masters
        for name, (direction, channel) in IDS.items()
        if f"{bus}_{channel}addr" in names
    ]


def wrapper_ports(ports: list[Port]) -> list[Port]:
    """Ports of the wrapper: those of the accelerator, and ids."""
    return [*ports, *id_ports(ports)]


def emit_wrapper(ports: list[Port]) -> str:
    """Verilog text of the wrapper module around the accelerator."""
    buses, ids = interfaces(ports), id_ports(ports)
    return render(
        "wrapper.v.j2",
        name=WRAPPER,
        top=TOP,
        ports=[
            {
                "name": port.name,
                "direction": port.direction,
                "range": f"[{port.width - 1}:0] " if port.width > 1 or port in ids else "",
                "attributes": _attributes(port, buses),
            }
            for port in wrapper_ports(ports)
        ],
        connected=[port.name for port in ports],
        tied=[port.name for port in ids if port.direction == "output"],
    )


def _ps_number(memory_port: str) -> int:
    """Number of the S_AXI_GP parameters of a processing-system port: HPC0 is 0, HPC1 1, HP0..HP3 2..5."""
    name = memory_port.removeprefix("S_AXI_").removesuffix("_FPD")
    return int(name[3:]) if name.startswith("HPC") else 2 + int(name[2:])


def _ps_clock(memory_port: str) -> str:
    """Name of the clock pin of a processing-system port: S_AXI_HP0_FPD has saxihp0_fpd_aclk."""
    return memory_port.lower().replace("s_axi_", "saxi") + "_aclk"


def _ps_properties(clock_mhz: float, used: list[str]) -> list[tuple[str, str]]:
    properties = [
        ("PSU__FPGA_PL0_ENABLE", "1"),
        ("PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ", f"{clock_mhz:g}"),
        ("PSU__USE__IRQ0", "1"),
        ("PSU__USE__M_AXI_GP0", "1"),
        ("PSU__USE__M_AXI_GP1", "0"),
        ("PSU__USE__M_AXI_GP2", "0"),
    ]
    for port in used:
        number = _ps_number(port)
        properties += [(f"PSU__USE__S_AXI_GP{number}", "1"), (f"PSU__SAXIGP{number}__DATA_WIDTH", "128")]
    return properties


def shared_ports(masters: list[str], memory_ports: tuple[str, ...]) -> dict[str, list[str]]:
    """Memory port -> the accelerator's masters on it, dealt out in turn."""
    groups = {port: masters[i :: len(memory_ports)] for i, port in enumerate(memory_ports)}
    return {port: group for port, group in groups.items() if group}


def emit_script(board: Board, arch: str, ports: list[Port]) -> str:
    """Tcl text that builds the project, the block design, the bitstream and the reports."""
    masters = [bus for bus in interfaces(ports) if bus.startswith("m_axi_")]
    groups = shared_ports(masters, MEMORY_PORTS[: board.axi.ports])
    cells = [("control", ["processing_system/M_AXI_HPM0_FPD"], "accelerator/s_axi_control")]
    for port, group in groups.items():
        sources = [f"accelerator/{master}" for master in group]
        cells.append((f"memory_{port.lower()}", sources, f"processing_system/{port}"))
    links = [(source, f"{name}/S{i:02}_AXI") for name, sources, _ in cells for i, source in enumerate(sources)]
    links += [(f"{name}/M00_AXI", sink) for name, _, sink in cells]
    names = [name for name, _, _ in cells]
    clocked = ["accelerator/ap_clk", "reset/slowest_sync_clk", "processing_system/maxihpm0_fpd_aclk"]
    clocked += [f"processing_system/{_ps_clock(port)}" for port in groups] + [f"{name}/aclk" for name in names]
    nets = [
        ["processing_system/pl_clk0", *clocked],
        ["processing_system/pl_resetn0", "reset/ext_reset_in"],
        ["reset/peripheral_aresetn", "accelerator/ap_rst_n", *(f"{name}/aresetn" for name in names)],
        ["accelerator/interrupt", "processing_system/pl_ps_irq0"],
    ]
    return render(
        "vivado.tcl.j2",
        top=TOP,
        arch=arch,
        board=board.title,
        project="hwgen",
        part=board.part,
        board_part=f"*:{board.name}:part0:*",
        verilog=VERILOG_FILE,
        wrapper=WRAPPER_FILE,
        wrapper_top=WRAPPER,
        clock_mhz=f"{board.clock_mhz:g}",
        ps_properties=_ps_properties(board.clock_mhz, list(groups)),
        interconnects=[{"name": name, "masters": len(sources)} for name, sources, _ in cells],
        interfaces=links,
        nets=nets,
    )
