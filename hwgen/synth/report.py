"""Synthesis of a whole machine, unique module by unique module, as data and as text."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwgen.emit.c_header import TOP
from hwgen.estimator.resources import GUARD_RAILS
from hwgen.spec.board import Board
from hwgen.synth.counts import Cost, cost_of
from hwgen.synth.depth import Path as TimingPath
from hwgen.synth.depth import Timing, levels_allowed, limit_ps, timing_of
from hwgen.synth.modules import instance_counts, split_modules
from hwgen.synth.yosys import FAMILY, TOOL, netlists, tool_version

NO_DSP = ("softmax", "gelu", "top_k")  # units that must do without multipliers, by a part of their name


@dataclass(frozen=True, kw_only=True)
class UnitReport:
    """One unique module."""

    name: str  # path of the first instance, below the top
    instances: int
    own: Cost  # one instance, without its children
    path: TimingPath | None  # longest between registers in it, its children included
    edge: TimingPath | None  # the same with its ports registered outside: paths from and to ports count, too


@dataclass(frozen=True, kw_only=True)
class SynthReport:
    """Every unit of a machine, and their sum."""

    units: tuple[UnitReport, ...]  # children before parents
    tool: str

    @property
    def total(self) -> Cost:
        """All instances together."""
        return sum((unit.own * unit.instances for unit in self.units), Cost())

    def below(self, name: str) -> Cost:
        """A unit with everything inside it: all instances of modules whose path starts with ``name``."""
        inside = (unit for unit in self.units if unit.name == name or unit.name.startswith(f"{name}."))
        return sum((unit.own * unit.instances for unit in inside), Cost())

    def with_dsp_by_mistake(self) -> list[str]:
        """Units that must not multiply and do."""
        return [unit.name for unit in self.units if unit.own.dsp and any(part in unit.name for part in NO_DSP)]

    def against(self, board: Board) -> dict[str, dict[str, float]]:
        """Per resource: synthesised, what the part has, and the guard rail below which a fit usually closes timing."""
        total, there = self.total, board.resources
        used = {"lut": total.lut, "ff": total.ff, "bram36": total.bram36, "dsp": total.dsp}
        return {
            name: {"synthesis": value, "available": getattr(there, name), "guard_rail": GUARD_RAILS[name]}
            for name, value in used.items()
        }

    def too_long(self, clock_mhz: float) -> list[UnitReport]:
        """Units with a path between registers that the clock does not allow, the longest first."""
        limit = limit_ps(clock_mhz)
        found = [unit for unit in self.units if unit.path and unit.path.ps > limit]
        return sorted(found, key=lambda unit: -unit.path.ps if unit.path else 0)

    def to_json(self, board: Board) -> dict[str, Any]:
        """Everything as data."""
        return {
            "tool": self.tool,
            "family": FAMILY,
            "total": self.against(board),
            "clock_mhz": board.clock_mhz,
            "limit_ps": limit_ps(board.clock_mhz),
            "lut_levels_allowed": levels_allowed(board.clock_mhz),
            "units": [asdict(unit) for unit in self.units],
        }


def synthesise(verilog: str, cache: Path, say: Callable[[str], None] = lambda line: None) -> SynthReport:
    """Counts and longest paths of every module of a machine's Verilog.

    Every unique module goes through Yosys once, with its children as black boxes; what ``cache`` holds from an earlier
    run is taken from there. SynthesisError when Yosys is missing or fails.
    """
    modules = split_modules(verilog)
    instances = instance_counts(modules, TOP)
    names = [name for name in modules if name in instances]
    timings: dict[str, Timing] = {}
    units: list[UnitReport] = []
    for name, netlist in netlists(modules, names, cache, say):
        timings[name] = timing_of(netlist, {child: timings[child] for child in modules[name].children})
        units.append(
            UnitReport(
                name=name.removeprefix(f"{TOP}."),
                instances=instances[name],
                own=cost_of(netlist, set(modules[name].children)),
                path=timings[name].worst,
                edge=timings[name].edge,
            )
        )
    return SynthReport(units=tuple(units), tool=f"{TOOL} {tool_version()}")
