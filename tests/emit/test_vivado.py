"""The Vivado script runs in a Tcl interpreter whose commands only take notes; the notes make a complete design."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hwgen.emit.ports import Port, interfaces, ports_of
from hwgen.emit.vivado import MEMORY_PORTS, emit_script, emit_wrapper, shared_ports, wrapper_ports
from hwgen.spec.arch_presets import ARCHS
from hwgen.store.boards import board, board_names

BOARD = board("zcu102")

# Commands that return something; every other one is noted by `unknown`, one line each, arguments joined by tabs.
STUBS = """
set log [open notes.txt w]
proc note {args} { puts $::log [string map [list \\n { }] [join $args \\t]] }
proc unknown {args} { note {*}$args; return [lindex $args end] }
proc get_bd_pins {name} { return $name }
proc get_bd_intf_pins {name} { return $name }
proc get_runs {name} { return $name }
proc get_board_parts {args} { return {} }
proc get_timing_paths {} { return path }
proc get_property {name object} { expr {$name eq "SLACK" ? $::slack : "100%"} }
proc open_run {name} { note open_run $name }
"""


def _ports(masters: int) -> list[Port]:
    names = ["s_axi_control_awaddr", *(f"m_axi_gmem{i}_araddr" for i in range(masters))]
    plain = [Port("ap_clk", "input", 1), Port("ap_rst_n", "input", 1), Port("interrupt", "output", 1)]
    return [*plain, *(Port(name, "output", 64) for name in names)]


def _run(script: str, folder: Path, goal: str, slack: str = "0.1") -> list[list[str]]:
    """Run the script; lines of notes, split."""
    (folder / "vivado.tcl").write_text(script)
    setup = f"{STUBS}set slack {slack}\nset argv {goal}\nsource vivado.tcl\nclose $log\n"
    (folder / "main.tcl").write_text(setup)
    interpreter = shutil.which("tclsh")
    if interpreter:
        result = subprocess.run([interpreter, "main.tcl"], cwd=folder, capture_output=True, text=True, timeout=60)
        if result.returncode:
            raise RuntimeError(result.stderr)
    else:
        tkinter = pytest.importorskip("tkinter", reason="no tclsh and no tkinter: the Tcl script cannot be parsed")
        tcl = tkinter.Tcl()
        tcl.eval(f"cd {{{folder}}}")
        tcl.eval("source main.tcl")
    return [line.split("\t") for line in (folder / "notes.txt").read_text().splitlines()]


@pytest.mark.parametrize("masters", [2, 5, 7])
def test_the_design_is_complete(tmp_path: Path, masters: int):
    ports = _ports(masters)
    notes = _run(emit_script(BOARD, "small", ports), tmp_path, "bitstream")
    assert notes[0][:1] == ["create_project"]
    assert "xczu9eg-ffvb1156-2-e" in notes[0]
    cells = {line[-1] for line in notes if line[0] == "create_bd_cell"}
    assert len(cells) == 4 + min(masters, len(MEMORY_PORTS))
    links = [line[1:] for line in notes if line[0] == "connect_bd_intf_net"]
    ends = [end for link in links for end in link]
    assert len(ends) == len(set(ends)), "an interface is connected twice"
    assert {f"accelerator/{bus}" for bus in interfaces(ports)} <= set(ends)
    assert len(links) == 2 + masters + min(masters, len(MEMORY_PORTS))
    nets = [line[1:] for line in notes if line[0] == "connect_bd_net"]
    pins = [pin for net in nets for pin in net]
    assert len(pins) == len(set(pins)), "a pin is on two nets"
    assert {pin.partition("/")[0] for pin in pins + ends} == cells
    for cell in cells - {"processing_system", "accelerator", "reset"}:
        assert f"{cell}/aclk" in nets[0]
        assert f"{cell}/aresetn" in nets[2]
    assert notes[-1][0] == "write_hw_platform"


def test_every_board_takes_every_machine(tmp_path: Path):
    rendered = 0
    for name in board_names():
        for arch in ARCHS.values():
            folder = tmp_path / f"{name}-{arch.name}"
            folder.mkdir()
            notes = _run(emit_script(board(name), arch.name, _ports(arch.weight_ports + 1)), folder, "design")
            assert notes[0][0] == "create_project"
            assert board(name).part in notes[0]
            rendered += 1
    assert rendered >= 16


def test_the_clock_of_every_used_memory_port_is_connected(tmp_path: Path):
    notes = _run(emit_script(BOARD, "small", _ports(3)), tmp_path, "design")
    clock = next(line for line in notes if line[0] == "connect_bd_net")
    assert [pin for pin in clock if "saxi" in pin] == [f"processing_system/saxihp{i}_fpd_aclk" for i in range(3)]
    properties = next(line for line in notes if line[0] == "set_property" and "PSU__USE__IRQ0" in line[2])[2].split()
    values = dict(zip(properties[::2], properties[1::2], strict=True))
    assert values["CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ"] == "300"
    assert [name for name in values if "S_AXI_GP" in name] == [f"CONFIG.PSU__USE__S_AXI_GP{n}" for n in (2, 3, 4)]
    assert [name for name in values if "DATA_WIDTH" in name] == [
        f"CONFIG.PSU__SAXIGP{n}__DATA_WIDTH" for n in (2, 3, 4)
    ]
    assert not any(line[0] == "launch_runs" for line in notes)


def test_a_design_that_misses_timing_is_an_error(tmp_path: Path):
    with pytest.raises(Exception, match="timing is not met at 300 MHz"):
        _run(emit_script(BOARD, "small", _ports(2)), tmp_path, "bitstream", slack="-0.01")


def test_an_unknown_goal_is_named(tmp_path: Path):
    with pytest.raises(Exception, match="goal 'bits' is none of"):
        _run(emit_script(BOARD, "small", _ports(2)), tmp_path, "bits")


def test_masters_are_dealt_out_in_turn():
    assert shared_ports(["a", "b", "c"], ("x", "y")) == {"x": ["a", "c"], "y": ["b"]}
    assert shared_ports(["a"], ("x", "y")) == {"x": ["a"]}


def test_the_wrapper_adds_ids_that_are_tied_off():
    """One bit for each address channel that a master has, and nothing at the AXI4-Lite slave."""
    text = emit_wrapper([*_ports(2), Port("m_axi_gmem1_awaddr", "output", 64)])
    ids = {port.name: (port.direction, port.width) for port in ports_of_header(text) if port.name.endswith("id")}
    assert ids == {
        "m_axi_gmem0_arid": ("output", 1),
        "m_axi_gmem0_rid": ("input", 1),
        "m_axi_gmem1_arid": ("output", 1),
        "m_axi_gmem1_rid": ("input", 1),
        "m_axi_gmem1_awid": ("output", 1),
        "m_axi_gmem1_bid": ("input", 1),
    }
    assert text.count("id = 1'b0;") == 3
    assert ".m_axi_gmem0_arid(" not in text


def ports_of_header(text: str) -> list[Port]:
    """Ports of a module that declares them in its header."""
    found = re.findall(r"^ +(input|output) wire (?:\[(\d+):0\] )?(\w+),?$", text, re.MULTILINE)
    return [Port(name, direction, int(high or 0) + 1) for direction, high, name in found]


def test_the_wrapper_has_the_same_ports():
    ports = _ports(2)
    text = emit_wrapper(ports)
    assert text.count("X_INTERFACE_INFO") == 3
    assert "ASSOCIATED_BUSIF s_axi_control:m_axi_gmem0:m_axi_gmem1, ASSOCIATED_RESET ap_rst_n" in text
    assert "output wire [63:0] m_axi_gmem1_araddr,\n" in text
    assert text.count(".ap_clk(ap_clk)") == 1
    assert ports_of_header(text) == wrapper_ports(ports)


def test_ports_are_read_from_verilog():
    text = "module other(x);\n  input x;\nendmodule\nmodule top(clk, d, \\\n q);\n input clk;\n wire clk;\n".replace(
        "\\", ""
    )
    text += "  input [7:0] d;\n  output [0:0] q;\n  reg [0:0] q;\nendmodule\n"
    assert ports_of(text, "top") == [Port("clk", "input", 1), Port("d", "input", 8), Port("q", "output", 1)]
    with pytest.raises(ValueError, match="no module 'missing'"):
        ports_of(text, "missing")
    with pytest.raises(ValueError, match="does not declare its ports q"):
        ports_of(text.replace("output [0:0] q;", ""), "top")
