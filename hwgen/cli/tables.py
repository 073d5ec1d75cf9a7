"""Tables of the commands that only look things up, and the same rows as data."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from rich import box
from rich.table import Table

from hwgen.estimator.estimate import Estimate
from hwgen.estimator.shares import Share
from hwgen.frontend.store import SHIPPED, float_info
from hwgen.report.verification import Verification
from hwgen.spec.arrays import package_arrays
from hwgen.spec.model import ModelConfig
from hwgen.spec.presets import MODELS
from hwgen.store.archs import arch_preset
from hwgen.store.boards import board, board_names
from sim.toolchain import Finding


def new_table(title: str, name: str, *columns: str) -> Table:
    """A table whose first column is never wrapped."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(name, no_wrap=True)
    for column in columns:
        table.add_column(column)
    return table


def doctor_table(findings: Sequence[Finding]) -> Table:
    """One line per tool."""
    table = new_table("Tools", "tool", "", "version", "for")
    for item in findings:
        mark = "[green]ok[/]" if item.found else "[yellow]no[/]" if item.optional else "[red]missing[/]"
        table.add_row(item.tool, mark, item.version, item.purpose + (" (optional)" if item.optional else ""))
    return table


def _weights(config: ModelConfig) -> int:
    """Weights of a network: every array called weight."""
    total = 0
    for name, spec in package_arrays(config).items():
        if name.endswith(".weight"):
            size = 1
            for extent in spec.shape:
                size *= extent
            total += size
    return total


def _trained(name: str) -> str:
    if name not in SHIPPED:
        return "seeded, untrained"
    info = float_info(name)
    return f"trained: mIoU {info['miou']:.3f}, depth RMSE {info['depth_rmse']:.2f} m"


def model_table() -> tuple[Table, list[dict[str, Any]]]:
    """Every network, as a table and as data."""
    table = new_table("Networks", "model", "image", "tokens", "dim", "blocks", "experts", "tasks", "weights")
    rows: list[dict[str, Any]] = []
    for name, config in MODELS.items():
        experts = f"{config.experts}, top {config.top_k}, {len(config.moe_blocks)} blocks" if config.experts else "-"
        tasks, image = [task.name for task in config.tasks], f"{config.image_width} x {config.image_height}"
        count, trained = _weights(config), _trained(name)
        table.add_row(
            name,
            image,
            str(config.network.rows),
            str(config.dim),
            str(config.depth),
            experts,
            ", ".join(tasks),
            f"{count / 1e6:.2f} M, {trained}",
        )
        rows.append(
            {
                "name": name,
                "image_height": config.image_height,
                "image_width": config.image_width,
                "tokens": config.network.rows,
                "dim": config.dim,
                "depth": config.depth,
                "experts": config.experts,
                "top_k": config.top_k,
                "tasks": tasks,
                "weights": count,
                "trained": name in SHIPPED,
            }
        )
    return table, rows


def board_table() -> tuple[Table, list[dict[str, Any]]]:
    """Every board, as a table and as data."""
    table = new_table(
        "Boards", "board", "part", "MHz", "DDR GB/s", "AXI ports", "DSP", "BRAM36", "arch", "MACs a cycle"
    )
    rows: list[dict[str, Any]] = []
    for name in board_names():
        item = board(name)
        arch = arch_preset(item.arch)
        table.add_row(
            name,
            item.part,
            f"{item.clock_mhz:g}",
            f"{item.ddr.peak_gb_per_s:g}",
            str(item.axi.ports),
            str(item.resources.dsp),
            str(item.resources.bram36),
            item.arch,
            f"{arch.token_lanes} x {arch.input_lanes} x {arch.output_lanes} = {arch.macs}",
        )
        rows.append(asdict(item) | {"macs": arch.macs})
    return table, rows


class Timed(Protocol):
    """An instruction with its time."""

    @property
    def index(self) -> int:
        """Place in the program."""
        ...

    @property
    def name(self) -> str:
        """What it computes."""
        ...

    @property
    def start_cycle(self) -> int:
        """First cycle."""
        ...

    @property
    def end_cycle(self) -> int:
        """Last cycle."""
        ...

    @property
    def macs(self) -> int:
        """Useful multiplications."""
        ...


def instruction_table(instructions: Sequence[Timed]) -> Table:
    """The instructions that multiply, with their cycles."""
    table = new_table("Instructions that multiply", "instruction")
    for name in ("index", "start", "end", "cycles", "MACs"):
        table.add_column(name, justify="right")
    for item in instructions:
        if item.macs:
            figures = (item.index, item.start_cycle, item.end_cycle, item.end_cycle - item.start_cycle, item.macs)
            table.add_row(item.name, *(f"{figure:,}" for figure in figures))
    return table


def _summed(items: Sequence[Share], key: str) -> dict[str, tuple[int, int]]:
    """Cycles and MACs by one of the names of shares, in the order in which they come."""
    found: dict[str, tuple[int, int]] = {}
    for item in items:
        cycles, macs = found.get(name := getattr(item, key), (0, 0))
        found[name] = cycles + item.cycles, macs + item.macs
    return found


def share_table(found: Estimate, array_macs: int) -> Table:
    """Where the cycles of an estimate go: a line a branch of the residual stream, then a line a kind of layer.

    ``array_macs``: multiplications of the array in a cycle. Kinds overlap inside a branch, so that they have no share
    of the array.
    """
    table = new_table(f"Where the cycles go, task {found.task}", "branch")
    for name in ("cycles", "share", "MACs", "array busy"):
        table.add_column(name, justify="right")

    def line(name: str, cycles: int, macs: int, busy: float | None) -> None:
        figures = f"{cycles:,}", f"{cycles / found.cycles:.1%}", f"{macs:,}" if macs else ""
        table.add_row(name, *figures, f"{busy:.1%}" if busy else "")

    for name, (cycles, macs) in _summed(found.shares, "name").items():
        line(name, cycles, macs, macs / (array_macs * cycles))
    table.add_section()
    table.add_row("kind of layer", style="bold")
    for name, (cycles, macs) in _summed(found.shares, "kind").items():
        line(name, cycles, macs, None)
    table.add_section()
    line("all", found.cycles, found.macs, found.mac_utilisation)
    return table


def verification_lines(found: Verification) -> list[str]:
    """What a verification comes to, in a few lines of text."""
    report = found.report()
    lines = [
        found.summary(),
        f"{report['cycles_per_image']:,.0f} cycles an image and task ({report['milliseconds_per_image']:.3f} ms at"
        f" {report['clock_mhz']:g} MHz), array busy with useful work {report['mac_utilisation']:.1%},"
        f" DDR {report['ddr_read_bytes']:,} bytes read, {report['ddr_write_bytes']:,} written",
        f"simulated in {report['sim_seconds']:.1f} s ({report['sim_cycles_per_second']:,.0f} cycles/s)",
    ]
    return lines + ([f"first mismatch: {found.first}"] if found.first else [])
