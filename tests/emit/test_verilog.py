"""The emitted Verilog: its ports, the same text every time, the files beside it."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen.emit.machine import SCRIPT_FILE, SIDECAR_FILE, write_machine
from hwgen.emit.ports import interfaces, ports_of
from hwgen.emit.verilog import TOP, unit_timing
from hwgen.emit.vivado import WRAPPER_FILE
from hwgen.store.archs import arch_preset
from hwgen.store.boards import board
from tests.emitted import verilog_of

ARCH = "sim-1x8x8"
# fmt: off
TIMED = {  # units whose cycle counts are fixed: all of them stand in the side-car
    "BOperand", "BankedBuffer", "ChunkPlanner", "ControlRegisters", "Dispatcher", "FinishLanes", "GateBuffer",
    "GateExponentials", "GeluLanes", "InstructionCheck", "Interpolation", "IoEngine", "LayerNorm",
    "LayerNormNormaliser", "MacArray", "MacColumn", "OperandRam", "PatchGather", "PerfCounters",
    "PositionLoader", "ProbabilityLanes", "ProgramFetch", "ReadEngine", "ReadMux", "Ring", "RowAddress",
    "RowBuffer", "RowSum", "RowWalker", "Scoreboard", "Sequencer", "StreamBuffer", "TileLoops", "TopK", "WeightLoader",
    "WordQueue", "WordWalker", "WriteEngine",
}
# fmt: on


@pytest.fixture(scope="module")
def verilog() -> str:
    return verilog_of(ARCH)


def test_the_ports_are_those_of_the_machine(verilog: str):
    ports = ports_of(verilog, TOP)
    masters = [f"m_axi_gmem{index}" for index in range(arch_preset(ARCH).weight_ports + 1)]
    assert sorted(interfaces(ports)) == ["m_axi_gmem0", *masters[1:], "s_axi_control"]
    names = {port.name: port for port in ports}
    assert {"ap_clk", "ap_rst_n", "interrupt", "s_axi_control_awaddr", "m_axi_gmem0_araddr"} <= set(names)
    assert (names["m_axi_gmem0_araddr"].direction, names["m_axi_gmem0_araddr"].width) == ("output", 64)
    assert (names["m_axi_gmem0_rdata"].direction, names["m_axi_gmem0_rdata"].width) == ("input", 128)


def test_another_process_writes_the_same_text(verilog: str):
    script = "from hwgen.emit.verilog import emit; from hwgen.store.archs import arch_preset; import hashlib; "
    script += f"print(hashlib.sha256(emit(arch_preset({ARCH!r})).encode()).hexdigest())"
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=300)
    assert done.stdout.strip() == hashlib.sha256(verilog.encode()).hexdigest()


def test_the_text_holds_no_paths_and_no_dates(verilog: str):
    assert str(Path(__file__).parents[2]) not in verilog
    assert not re.search(r"\b20[2-9]\d-\d\d-\d\d\b", verilog)
    assert "src =" not in verilog


def test_the_files_of_a_machine_are_there(verilog: str, tmp_path: Path):
    write_machine(tmp_path, board("zcu102"), arch_preset(ARCH), verilog, unit_timing())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {SIDECAR_FILE, WRAPPER_FILE, SCRIPT_FILE, "hwgen.h"}


def test_units_state_their_timing():
    timing = unit_timing()
    assert set(timing) == TIMED
    assert all(isinstance(value, int) and value >= 0 for entry in timing.values() for value in entry.values())
