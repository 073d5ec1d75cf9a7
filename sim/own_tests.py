"""Simulators of the machine in a build folder, and cocotb tests of one's own in them.

`hwgen.cocotb` is where users find these names.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cocotb_tools.check_results import get_results

from hwgen.emit.vivado import VERILOG_FILE, WRAPPER, WRAPPER_FILE
from hwgen.store.output_file import write_text
from sim.bench_memory import BenchMemory
from sim.options import SimOptions
from sim.runner import RESULTS_FILE, Build, BuildError, build, run
from sim.session import build_simulator
from sim.toolchain import find_verilator


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Tests that passed, how many, and the log of their simulation."""

    tests: int
    log: Path


def _source(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise BuildError(f"{folder} has no {name}; give the folder that hwgen build wrote")
    return folder / name


def _visible(top: str, modules: Sequence[str]) -> str:
    """Rules for Verilator: Python drives what it likes of the top, and reads every signal of these modules."""
    rules = [f'public_flat_rw -module "{top}" -var "*"']
    rules += [f'public_flat_rd -module "{module}" -var "*"' for module in modules]
    return "\n".join(["`verilator_config", *rules, ""])


def build_sources(
    sources: Sequence[Path],
    top: str,
    *,
    public: Sequence[str] = (),
    flags: Sequence[str] = (),
    waves: bool = False,
) -> Build:
    """The simulator of Verilog of one's own, in which hwgen_top or hwgen_accelerator may be instances.

    Parameters
    ----------
    sources: Verilog, SystemVerilog and C++ files, and rules for Verilator (``.vlt``).
    top: module whose ports and signals Python reads and drives.
    public: further modules whose signals Python can read, by their names in the text
        (``"hwgen_accelerator.core.trace"``); all others may be optimised away, which makes the simulator fast.
    flags: further arguments of Verilator.
    waves: every run leaves dump.vcd.

    Built once for equal content. BuildError ends with the log of Verilator and compiler; ToolMissing says what is
    missing, and the command that installs it.
    """
    with tempfile.TemporaryDirectory(prefix="hwgen-") as name:
        rules = Path(name) / "public.vlt"
        write_text(rules, _visible(top, public))
        root, scratch = SimOptions().build_root, (Path(name),)
        return build([*sources, rules], top, root=root, flags=flags, waves=waves, scratch=scratch)


def build_top(folder: Path, *, public: Sequence[str] = (), waves: bool = False) -> Build:
    """The simulator of hwgen_top, whose AXI ports Python drives, from the folder that ``hwgen build`` wrote.

    The other parameters are those of `build_sources`. BuildError when hwgen_top.v or hwgen_accelerator.v is not there.
    """
    sources = [_source(folder, VERILOG_FILE), _source(folder, WRAPPER_FILE)]
    return build_sources(sources, WRAPPER, public=public, waves=waves)


def build_bench(folder: Path, *, waves: bool = False) -> Build:
    """The simulator of hwgen_bench: the machine of a build folder with memory and host in HDL.

    The other parameters are those of `build_sources`.
    """
    verilog = _source(folder, VERILOG_FILE).read_text()
    return build_simulator(verilog, SimOptions(waves=waves, folder=folder))


def run_tests(
    simulator: Build,
    tests: Path | str,
    folder: Path | None = None,
    *,
    memory: BenchMemory | None = None,
    plusargs: Mapping[str, int | str] | None = None,
    seconds: float = 3600,
) -> Outcome:
    """Run the cocotb tests of a Python file; SimulationError with the end of the log when one fails or none is there.

    Parameters
    ----------
    simulator: of `build_top`, `build_bench` or `build_sources`.
    tests: the file; ``__file__`` when it runs itself. Files beside it can be imported.
    folder: working folder of the simulation, where simulation.log stays; ``runs/<name of the file>`` beside the file
        unless given.
    memory: what hwgen_bench has for a memory; hwgen_top has none of its own.
    plusargs: further arguments of the simulator, which tests find in ``cocotb.plusargs``.
    seconds: limit of wall-clock time.
    """
    path = Path(tests).resolve()
    folder = folder or path.parent / "runs" / path.stem
    folder.mkdir(parents=True, exist_ok=True)
    if memory is not None:
        memory.create(folder)
    arguments = {**(memory.plusargs() if memory else {}), **(plusargs or {})}
    with _importable(path.parent):
        log = run(simulator, path.stem, folder, plusargs=arguments, seconds=seconds)
    return Outcome(tests=get_results(folder / RESULTS_FILE)[0], log=log)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """The simulator looks for modules where this process does; for now also in ``folder``."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def toolchain_environment() -> dict[str, str]:
    """The process environment in which ``verilator``, its make and its compiler work, for runners of one's own.

    ``os.environ.update(toolchain_environment())`` before cocotb's runner, or ``env=`` of a subprocess. ToolMissing says
    what is missing, and the command that installs it.
    """
    return find_verilator().environment()
