"""The emitted Verilog is clean under Verilator's lint, but for the explained warnings of sim/hdl/lint.vlt."""

import re
from pathlib import Path

import pytest

import sim
from hwgen.emit.ports import ports_of
from hwgen.emit.sidecar import describe
from hwgen.emit.verilog import TOP
from hwgen.emit.vivado import VERILOG_FILE, WRAPPER, WRAPPER_FILE, emit_wrapper
from hwgen.store.archs import arch_preset
from sim.toolchain import lint
from tests.emitted import verilog_of

WAIVERS = Path(sim.__file__).parent / "hdl" / "lint.vlt"
RULES = re.findall(r"^lint_off -rule (\w+)", WAIVERS.read_text(), re.MULTILINE)


def written(arch: str, folder: Path) -> list[Path]:
    verilog = verilog_of(arch)
    (folder / VERILOG_FILE).write_text(verilog)
    (folder / WRAPPER_FILE).write_text(emit_wrapper(ports_of(verilog, TOP)))
    return [folder / VERILOG_FILE, folder / WRAPPER_FILE]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return written("sim-1x8x8", tmp_path_factory.mktemp("machine"))  # one token row at a time


def test_lint_finds_nothing_that_is_not_explained(machine: list[Path]):
    assert lint([WAIVERS, *machine], WRAPPER) == []


@pytest.mark.parametrize("arch", ["sim", "zcu102"])
def test_other_machines_are_as_clean(arch: str, tmp_path: Path):
    files = written(arch, tmp_path)
    assert lint([WAIVERS, *files], WRAPPER) == []
    assert files[0].stat().st_size < 3_000_000


def test_every_waiver_has_its_reason_and_its_use(machine: list[Path]):
    lines = [line for line in WAIVERS.read_text().splitlines() if line.startswith("lint_off")]
    assert len(lines) == len(RULES)
    assert all(re.search(r"  // \w+", line) for line in lines)
    found = {match[1] for line in lint(machine, WRAPPER) if (match := re.match(r"%Warning-(\w+)", line))}
    assert found == set(RULES)


def test_a_mistake_is_found(machine: list[Path], tmp_path: Path):
    text = machine[0].read_text()
    wrong = tmp_path / VERILOG_FILE
    mistake = "  wire [3:0] wrong;\n  assign wrong = 8'd1 + 8'd2;\n"
    wrong.write_text(text.replace("  assign sink = ", mistake + "  assign sink = "))
    assert wrong.read_text() != text
    messages = lint([WAIVERS, wrong, machine[1]], WRAPPER)
    assert [re.match(r"%Warning-(\w+)", line)[1] for line in messages] == ["WIDTHTRUNC"]


def test_the_debug_paths_are_in_the_text(machine: list[Path]):
    text = machine[0].read_text()
    trace = re.search(rf"^module \\{TOP}\.core\.trace .*?^endmodule", text, re.MULTILINE | re.DOTALL)[0]
    paths = []
    for channel in describe(arch_preset("sim"), ports_of(text, TOP), {})["trace"].values():
        paths += [channel["valid"], *(field["path"] for field in channel["fields"].values())]
        paths += [channel["data"]] if channel["data"] else []
    assert len(paths) > 20
    for path in paths:
        instance, _, name = path.rpartition(".")
        assert instance == f"{TOP}.core.trace"
        assert re.search(rf"^  wire (\[\d+:0\] )?{name};$", trace, re.MULTILINE), path
