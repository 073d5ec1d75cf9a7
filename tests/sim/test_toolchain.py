"""The doctor's report, and the traps around Verilator."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from sim import toolchain
from sim.toolchain import ToolMissing, doctor, find_verilator, lint


@pytest.fixture(autouse=True)
def _fresh():
    find_verilator.cache_clear()
    yield
    find_verilator.cache_clear()


def script(folder: Path, text: str) -> Path:
    path = folder / "verilator"
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_every_tool_is_here_with_a_version_and_an_install_command():
    findings = {item.tool: item for item in doctor()}
    assert {"python", "g++", "make", "perl", "verilator", "libpython", "cocotb", "amaranth"} <= set(findings)
    for item in findings.values():
        assert item.install
        assert item.purpose
        assert item.optional or (item.found and item.version)
    assert findings["verilator"].version.startswith("5.")
    assert set(findings["perl"].as_dict()) == {"tool", "found", "version", "install", "purpose", "optional"}


def test_a_missing_program_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("make", "perl", "apt-get"):
        (tmp_path / name).write_text("#!/bin/sh\necho 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = {item.tool: item for item in doctor()}
    assert (findings["make"].found, findings["g++"].found) == (True, False)
    assert findings["g++"].install == "sudo apt-get install -y g++"
    with pytest.raises(ToolMissing, match=r"g\+\+ is needed .* sudo apt-get install -y g\+\+"):
        find_verilator()


def test_a_system_verilator_is_preferred_when_new_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    path = script(tmp_path, "#!/usr/bin/env perl\nprint qq(Verilator 5.040 2025-08-30\\n);\n")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    tool = find_verilator()
    assert (tool.executable, tool.root, tool.version) == (path, None, "5.040")
    assert tool.environment()["MAKEFLAGS"] == " ".join(toolchain.OPTIMISATION)
    find_verilator.cache_clear()
    script(tmp_path, "#!/usr/bin/env perl\nprint qq(Verilator 5.034 2025-02-24\\n);\n")
    assert find_verilator().executable != path


def test_a_wrapper_around_the_package_is_never_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    trap = tmp_path / "sprung"
    script(tmp_path, f'#!/bin/sh\ntouch {trap}\nexec verilator-cli "$@"\n')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert find_verilator().executable.parent != tmp_path
    assert not trap.exists()


def test_the_makeflags_of_a_calling_make_are_dropped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MAKEFLAGS", " -j8 --jobserver-auth=3,4")
    flags = find_verilator().environment()["MAKEFLAGS"]
    assert "jobserver" not in flags
    assert all(flag in flags for flag in toolchain.OPTIMISATION)


def test_make_takes_the_optimisation_as_it_is_meant(tmp_path: Path):
    (tmp_path / "Makefile").write_text("all:\n\t@echo $(OPT_FAST), $(OPT_GLOBAL)\n")
    environment = find_verilator().environment()
    command = ["make", "--no-print-directory"]  # the tests may be run by a make
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"-O1( --param=[a-z-]+=\d+){2}, -O1\n", said)


def test_lint_reports_and_waives(tmp_path: Path):
    path = tmp_path / "narrow.v"
    path.write_text("module narrow(input [3:0] a, output [1:0] b);\n  assign b = a;\nendmodule\n")
    messages = lint([path], "narrow")
    assert len([line for line in messages if "WIDTHTRUNC" in line]) == 1
    assert lint([path], "narrow", ["WIDTHTRUNC", "UNUSEDSIGNAL"]) == []
