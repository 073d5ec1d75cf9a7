"""Builds Verilog into simulators, once per content, and runs cocotb modules in them.

cocotb's own Verilator runner makes every signal public, which slows large designs several times; this one leaves that
to the sources. A build lives in a folder named by the hash of all that goes into it: sources, flags, tool versions.
It is made beside its place and moved there when complete, under a lock, so that neither an interrupted build nor a
second process can leave a broken one. What is damaged later is made again: beside a simulator lies its hash.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import Verilator

from hwgen.process.child_process import run_child
from hwgen.store.digest import file_digest
from hwgen.store.locked_file import locked
from hwgen.store.output_file import write_text
from sim.toolchain import VerilatorTool, find_verilator

BUILD_JOBS = min(2, os.cpu_count() or 1)
SPLIT_STATEMENTS = 20000  # size of a generated C++ file; large designs compile in parts
LOCK_SECONDS = 60.0  # beyond the limit of the build that holds a lock
KEPT_BUILDS = 32  # newest builds that stay in a folder
RUNTIME = tuple(f"verilated{part}" for part in ("", "_dpi", "_threads", "_timing", "_vcd_c", "_vpi"))  # its library
RESULTS_FILE = "results.xml"  # of the tests of a run, in its folder
TAIL_LINES = 40  # of a log, in an error message
RECORD = "build.json"  # written last; what the build is, and the hash of the simulator
SUMS = "sums.json"  # hashes of the objects of Verilator's own library
VERILATED = 0.25  # share of a build that is done when the C++ is there

Share = Callable[[float], None]  # takes the share of a build that is done


class BuildError(RuntimeError):
    """The simulator could not be built; the message ends with the log."""


class SimulationError(RuntimeError):
    """The simulation did not end well; the message ends with the log."""


class QuietVerilator(Verilator):
    """cocotb's runner with our Verilator, without ``--public-flat-rw``, and with a limit on wall-clock time."""

    def __init__(
        self, tool: VerilatorTool, seconds: float, scratch: Sequence[Path] = (), share: Share | None = None
    ) -> None:
        super().__init__()
        self._tool, self._seconds, self._scratch = tool, seconds, scratch
        self._share = share

    def _simulator_in_path_build_only(self) -> None:
        self.executable = str(self._tool.executable)

    def _set_env_build(self) -> None:
        super()._set_env_build()
        tool = self._tool.environment()
        tool["PATH"] += os.pathsep + self.env["PATH"]
        self.env.update(tool)

    def _build_command(self) -> list[list[str]]:
        verilate, make = super()._build_command()
        make[make.index("-j") + 1] = str(BUILD_JOBS)
        fresh = ["touch", "-c", *(f"{name}.o" for name in RUNTIME)]  # newer than the makefile they depend on
        return [[word for word in verilate if word != "--public-flat-rw"], fresh, make]

    def _execute_cmds(
        self, cmds: Sequence[list[str]], cwd: "os.PathLike[str] | str", stdout: TextIO | None = None
    ) -> None:
        deadline = time.monotonic() + self._seconds
        tick = partial(self._tell, Path(cwd)) if self._share is not None else None
        for command in cmds:
            left = max(deadline - time.monotonic(), 1.0)
            try:
                code = run_child(
                    command, cwd=cwd, env=self.env, output=stdout, seconds=left, scratch=self._scratch, tick=tick
                )
            except subprocess.TimeoutExpired as error:
                raise RuntimeError(f"not finished after {self._seconds:.0f} s") from error
            if code:
                raise subprocess.CalledProcessError(code, command)

    def _tell(self, folder: Path) -> None:
        """Say how much of the build in ``folder`` is done."""
        if self._share is not None:
            self._share(share_done(folder))


def share_done(folder: Path) -> float:
    """Share of a build that is done: the C++ is there, and some of its bytes are objects."""
    if not (folder / "Vtop.mk").is_file():
        return 0.0
    sizes = {path: path.stat().st_size for path in folder.glob("*.cpp")}
    done = sum(size for path, size in sizes.items() if path.with_suffix(".o").is_file())
    return VERILATED + (1 - VERILATED) * done / max(sum(sizes.values()), 1)


@contextmanager
def _workshop(root: Path) -> Generator[Path]:
    """Where builds of ``root`` are made: there, or in a temporary folder when make could not work there."""
    if not any(map(str.isspace, str(root))):
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="hwgen-build-") as name:
        yield Path(name)


@dataclass(frozen=True)
class Build:
    """A simulator that is ready to run."""

    folder: Path
    top: str
    waves: bool
    seconds: float  # what building it took
    cached: bool  # it was there already


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else ["(no log)"]
    return "\n".join(lines[-TAIL_LINES:])


def _digest(*parts: str) -> str:
    """Name of a build: nothing that goes into it may differ."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part.encode()).to_bytes(8, "little") + part.encode())
    return digest.hexdigest()[:20]


def _environment(tool: VerilatorTool) -> tuple[str, ...]:
    """The tools that a build depends on."""
    compiler = subprocess.run(["g++", "-dumpfullversion"], capture_output=True, text=True, check=False).stdout
    flags = tool.environment()["MAKEFLAGS"]
    return (tool.version, str(tool.executable), version("cocotb"), sys.prefix, sys.version, compiler, flags)


def _keep_runtime(folder: Path, runtime: Path) -> None:
    """Keep the objects of Verilator's own library, the same in every build: they take most of a small build's time."""
    if runtime.is_dir():
        return
    part = Path(tempfile.mkdtemp(prefix=".runtime-", dir=runtime.parent))
    for name in RUNTIME:
        if (folder / f"{name}.o").is_file():
            shutil.copy(folder / f"{name}.o", part)
    write_text(part / SUMS, json.dumps({path.name: file_digest(path) for path in part.iterdir()}))
    part.chmod(0o755)
    try:
        part.rename(runtime)
    except OSError:  # another process was faster
        shutil.rmtree(part, ignore_errors=True)


def take_runtime(runtime: Path, folder: Path) -> None:
    """A new build folder, with these objects if they are there as they were made; the others go."""
    with suppress(OSError, ValueError, AttributeError):  # none, damaged, or cleared in this moment
        shutil.copytree(runtime, folder)
        sums = json.loads((folder / SUMS).read_text())
        if all(file_digest(folder / name) == digest for name, digest in sums.items()):
            (folder / SUMS).unlink()
            return
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(runtime, ignore_errors=True)
    folder.mkdir()


def _spent(folder: Path, top: str) -> float | None:
    """Seconds that a build took; None when it is not there as it was made."""
    try:
        record, simulator = json.loads((folder / RECORD).read_text()), folder / top
        whole = record["simulator"] == file_digest(simulator) and os.access(simulator, os.X_OK)
        return float(record["seconds"]) if whole else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _moved(part: Path, folder: Path) -> None:
    """Put a complete build in its place, from another disk too."""
    place = folder.parent / f".{folder.name}.part"
    if part != place:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(part, place)
    shutil.rmtree(folder, ignore_errors=True)
    place.rename(folder)


def _prune(root: Path, keep: Path) -> None:
    """Remove all but the newest builds; one that is in use stays on disk until its simulator ends."""
    done = sorted(root.glob(f"*/{RECORD}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in done[KEPT_BUILDS:]:
        if path.parent != keep:
            shutil.rmtree(path.parent, ignore_errors=True)


def _verilate(
    runner: QuietVerilator,
    sources: Sequence[Path],
    top: str,
    flags: Sequence[str],
    folder: Path,
    root: Path,
    waves: bool,
) -> None:
    """Build in ``folder``; BuildError with the end of the log. Verilator's own library is kept in ``root``."""
    log = folder.with_suffix(".log")
    common = [flag for flag in flags if not flag.startswith("-G")]
    made_with = _environment(find_verilator())
    runtime = root / f"runtime-{_digest(*common, str(waves), *made_with)}"
    take_runtime(runtime, folder)
    try:
        runner.build(
            sources=[path for path in sources if path.suffix in (".v", ".sv", ".vlt")],
            build_args=[*flags, *(str(path) for path in sources if path.suffix == ".cpp")],
            hdl_toplevel=top,
            build_dir=folder,
            waves=waves,
            log_file=log,
        )
    except (RuntimeError, subprocess.CalledProcessError, SystemExit) as error:
        raise BuildError(f"building {top} failed: {error}\n{_tail(log)}") from error
    shutil.copy(log, folder / "build.log")
    log.unlink()
    _keep_runtime(folder, runtime)
    for path in folder.iterdir():
        if path.suffix in (".o", ".a", ".cpp", ".h", ".gch", ".d"):
            path.unlink()


def build(
    sources: Sequence[Path],
    top: str,
    *,
    root: Path,
    parameters: Mapping[str, int] | None = None,
    flags: Sequence[str] = (),
    waves: bool = False,
    seconds: float = 1800,
    scratch: Sequence[Path] = (),
    share: Share | None = None,
) -> Build:
    """A simulator of module ``top``; made in a folder of ``root``, unless it is there already.

    The folders ``scratch`` are removed when this process is killed while the simulator is made. ``share`` is told now
    and then, while it is made, which share of the work is done.
    """
    tool = find_verilator()
    every = ["--timing", "--output-split", str(SPLIT_STATEMENTS), "-Wno-fatal", "-Wno-lint", "-Wno-style", *flags]
    every += [f"-G{name}={value}" for name, value in (parameters or {}).items()]
    root = root.resolve()
    texts = [item for path in sources for item in (path.name, path.read_text())]
    folder = root / f"{top}-{_digest(top, str(waves), *every, *_environment(tool), *texts)}"
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / f".{folder.name}.lock", seconds + LOCK_SECONDS), _workshop(root) as shop:
        if (took := _spent(folder, top)) is not None:
            with suppress(OSError):  # somebody else's: it only goes sooner
                os.utime(folder / RECORD)
            return Build(folder, top, waves, took, cached=True)
        part = shop / f".{folder.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        begin = time.monotonic()
        runner = QuietVerilator(tool, seconds, (part, *scratch), share)
        _verilate(runner, [path.resolve() for path in sources], top, every, part, root, waves)
        spent = time.monotonic() - begin
        record = {"top": top, "flags": every, "seconds": spent, "simulator": file_digest(part / top)}
        write_text(part / RECORD, json.dumps(record))
        _moved(part, folder)
        _prune(root, folder)
    return Build(folder, top, waves, spent, cached=False)


def _exit_code(test: Callable[[], object]) -> object:
    """0, or what cocotb's runner ends this process with: after a bad end, and under pytest when a test failed."""
    try:
        test()
    except SystemExit as end:
        return end.code
    return 0


def run(
    built: Build,
    module: str,
    folder: Path,
    *,
    plusargs: Mapping[str, int | str] | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 600,
    keep: bool = True,
) -> Path:
    """Run the cocotb module ``module`` in ``folder``; the log's path. SimulationError when any of its tests fails.

    The simulator ends when this process does; unless ``keep``, the folder is removed when this process is killed.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    log, results = folder / "simulation.log", folder / RESULTS_FILE
    runner = QuietVerilator(find_verilator(), seconds, () if keep else (folder,))
    words = [f"+{name}" if value == "" else f"+{name}={value}" for name, value in (plusargs or {}).items()]
    test = partial(
        runner.test,
        test_module=module,
        hdl_toplevel=built.top,
        hdl_toplevel_lang="verilog",
        build_dir=built.folder,
        test_dir=folder,
        results_xml=str(results),
        plusargs=words,
        extra_env=dict(environment or {}),
        waves=built.waves,
        log_file=log,
    )
    try:
        code = _exit_code(test)
        tests, failed = get_results(results)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        raise SimulationError(f"simulation of {built.top} failed: {error}\n{_tail(log)}") from error
    if failed or not tests:
        raise SimulationError(f"{failed} of {tests} tests of {module} failed\n{_tail(log)}")
    if code:
        raise SimulationError(f"simulation of {built.top} failed: the simulator ended with {code}\n{_tail(log)}")
    return log
