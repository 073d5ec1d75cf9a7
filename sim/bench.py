"""The generated top of a simulation: connects an accelerator's Verilog to memory, host and trace monitors."""

import re
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from hwgen.emit.ports import Port, ports_of
from hwgen.spec import registers
from hwgen.spec.trace import CHANNELS, CYCLE_BITS, FIELD_BITS, TraceChannel

TOP = "hwgen_accelerator"
BENCH = "hwgen_bench"
HDL = Path(str(files("sim"))) / "hdl"
HDL_SOURCES = tuple(
    HDL / name
    for name in (
        "hwgen_ddr_memory.sv",
        "hwgen_ddr_read_port.sv",
        "hwgen_ddr_write_port.sv",
        "hwgen_ddr.sv",
        "hwgen_host.sv",
        "hwgen_ddr.cpp",
    )
)

# Signals of one AXI4 port that the memory model has: name -> (bits, driven by the accelerator)
MEMORY_SIGNALS: dict[str, tuple[int, bool]] = {
    "awvalid": (1, True),
    "awready": (1, False),
    "awaddr": (64, True),
    "awlen": (8, True),
    "awsize": (3, True),
    "awburst": (2, True),
    "wvalid": (1, True),
    "wready": (1, False),
    "wdata": (128, True),
    "wstrb": (16, True),
    "wlast": (1, True),
    "bvalid": (1, False),
    "bready": (1, True),
    "bresp": (2, False),
    "arvalid": (1, True),
    "arready": (1, False),
    "araddr": (64, True),
    "arlen": (8, True),
    "arsize": (3, True),
    "arburst": (2, True),
    "rvalid": (1, False),
    "rready": (1, True),
    "rdata": (128, False),
    "rresp": (2, False),
    "rlast": (1, False),
}
CONTROL_SIGNALS: dict[str, int] = {
    "awaddr": registers.REGISTER_ADDRESS_BITS,
    "awvalid": 1,
    "awready": 1,
    "wdata": 32,
    "wstrb": 4,
    "wvalid": 1,
    "wready": 1,
    "bresp": 2,
    "bvalid": 1,
    "bready": 1,
    "araddr": registers.REGISTER_ADDRESS_BITS,
    "arvalid": 1,
    "arready": 1,
    "rdata": 32,
    "rresp": 2,
    "rvalid": 1,
    "rready": 1,
}
# Settings of the memory model, as plus arguments, with the values that they have when not given.
SETTINGS = {
    "latency": 100,
    "rate": 0,
    "refresh_interval": 0,
    "refresh_cycles": 0,
    "stall": 0,
    "seed": 1,
    "read_commands": 0,
    "read_buffer": 0,
}


class BenchError(ValueError):
    """Verilog that does not look like an accelerator; the message names the port."""


def _memory_connections(ports: dict[str, Port], count: int) -> tuple[list[tuple[str, str]], list[tuple[str, int, str]]]:
    """Connections of the AXI masters, and values for what a master lacks (a read-only port has no write channels)."""
    connections: list[tuple[str, str]] = []
    tied: list[tuple[str, int, str]] = []
    for index in range(count):
        for signal, (bits, driven) in MEMORY_SIGNALS.items():
            name = f"m_axi_gmem{index}_{signal}"
            port = ports.get(name)
            if port is None:
                if driven:
                    tied.append((signal, index, "'0"))
                continue
            if port.width != bits or (port.direction == "output") != driven:
                raise BenchError(f"{name} is {port.direction} of {port.width} bits, expected {bits}")
            connections.append((name, f"{signal}[{index}]"))
    return connections, tied


def _connections(ports: dict[str, Port], count: int) -> tuple[list[tuple[str, str]], list[tuple[str, int, str]]]:
    memory, tied = _memory_connections(ports, count)
    known = dict(memory) | {"ap_clk": "clk", "ap_rst_n": "reset_n", "interrupt": "interrupt"}
    known |= {f"s_axi_control_{name}": f"control_{name}" for name in CONTROL_SIGNALS}
    missing = [name for name in known if name not in ports]
    if missing:
        raise BenchError(f"the accelerator has no port {', '.join(missing)}")
    for name, port in ports.items():
        if name not in known and port.direction == "input":
            known[name] = "'0"  # identifiers, protection, quality of service: this memory answers in order
    return list(known.items()), tied


def _trace_path(verilog: str, top: str) -> str:
    """Hierarchical name of the trace instance: Amaranth names modules by their path."""
    found = re.findall(rf"^module \\?({re.escape(top)}(?:\.\w+)*\.trace)\s", verilog, re.MULTILINE)
    if len(found) != 1:
        raise BenchError(f"{top} has {len(found)} submodules called trace, expected one")
    return "dut" + found[0].removeprefix(top)


def _channel(channel: TraceChannel, path: str) -> dict[str, object]:
    """What the template needs of a trace channel; a record starts with its lowest bits."""
    at = f"{path}.{channel.name}__"
    record = [f"{CYCLE_BITS}'(cycle)"]
    record += [f"{FIELD_BITS}'({at}{field.name})" for field in channel.fields]
    record += [f"{FIELD_BITS}'(0)"] * channel.padding_fields
    if channel.lane_bits:
        record.append(f"{at}data")
    return {
        "name": channel.name,
        "meaning": channel.meaning,
        "file": f"{channel.name}.bin",
        "valid": f"{at}valid",
        "always": channel.always,
        "record": list(reversed(record)),
    }


def bench(verilog: str, top: str = TOP) -> str:
    """SystemVerilog of the bench around ``verilog``; BenchError when ports are missing or of the wrong width."""
    ports = {port.name: port for port in ports_of(verilog, top)}
    count = len({match[1] for name in ports if (match := re.match(r"m_axi_gmem(\d+)_", name))})
    if not count:
        raise BenchError("the accelerator has no port m_axi_gmem0_*")
    connections, tied = _connections(ports, count)
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string((HDL / "hwgen_bench.sv.j2").read_text())
    return template.render(
        top=top,
        ports=count,
        control_bits=registers.REGISTER_ADDRESS_BITS,
        control_wires=list(CONTROL_SIGNALS.items()),
        memory_wires=[(name, bits) for name, (bits, _) in MEMORY_SIGNALS.items()],
        connections=connections,
        tied=tied,
        channels=[_channel(channel, _trace_path(verilog, top)) for channel in CHANNELS],
        settings=SETTINGS,
    )
