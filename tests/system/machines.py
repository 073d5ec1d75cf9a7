"""Machines under test: Verilog made once per arch, simulators shared, and runs in which every value is compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from golden.attention import schedule_steps
from golden.network import run_network
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.compiler.listing import ListingEntry
from hwgen.compiler.parts import WHOLE, Parts
from hwgen.spec.arch import ArchConfig
from hwgen.spec.graph_model import Model
from hwgen.spec.layers import Attention, Linear, Norm, Pool, Residual, Restore
from hwgen.spec.package import QuantisedModel
from hwgen.store.boards import board
from sim.compare import Comparison, compare
from sim.options import SimOptions
from sim.session import SimResult, SimRun, simulate
from tests.emitted import verilog_of

BOARD = board("sim")
WATCHDOG_CYCLES = 3_000_000  # far more than any run of these tests takes
Tensors = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One run, what golden says about it, and the comparison of the two."""

    run: SimRun
    golden: Tensors
    comparison: Comparison


def run_machine(
    compiled: Compiled,
    images: Sequence[np.ndarray],
    tasks: Sequence[str],
    *,
    verilog: str | None = None,
    options: SimOptions | None = None,
) -> SimResult:
    """Every image through every task; ``verilog``: instead of what the arch's name stands for."""
    text = verilog_of(compiled.arch.name) if verilog is None else verilog
    return simulate(text, compiled.arch, BOARD, compiled, images, tasks, options or sim_options())


def sim_options(**changes: object) -> SimOptions:
    """Options of these tests; a run that hangs ends with its watchdog."""
    fields: dict[str, object] = {
        "watchdog_cycles": WATCHDOG_CYCLES,
        "seconds": 240,
    }
    return SimOptions(**{**fields, **changes})  # pyright: ignore[reportArgumentType]


def expected_counts(config: Model, golden: Tensors, task: str) -> dict[str, int]:
    """Values of every named tensor that a run must compare, and of the result as the host reads it.

    The machine does not compute rows that nobody changes (a class token's behind the patch embedding), and makes those
    rows of a LayerNorm that somebody reads; it brings back the rows that went on, and the others are where they were.
    """
    network = config.network
    counts = {name: int(tensor.size) for name, tensor in golden.items()}
    for layer in network.walk(task):
        columns = layer.tensors()[0].columns
        if isinstance(layer, Linear) and isinstance(layer.finish, Residual):
            counts[layer.writes] = layer.rows * columns
        if isinstance(layer, Restore):
            counts[layer.writes] = golden[layer.kept.tensor].size * columns
        if isinstance(layer, Norm):
            read = [rows for reader in network.readers(layer.writes, task) for rows in reader.reads()]
            spans = [(r.first, r.first + (r.count or layer.rows - r.first)) for r in read if r.tensor == layer.writes]
            counts[layer.writes] = columns * (max(end for _, end in spans) - min(first for first, _ in spans))
    return {**counts, "result": int(golden[network.result(task).writes].size)}


def check_run(compiled: Compiled, run: SimRun, golden: Tensors) -> Checked:
    """Compare everything; fails with the first wrong value, or when anything was left out."""
    assert run.error is None, str(run.error)
    assert run.trace is not None
    assert run.conflicts == ()
    comparison = compare(run.trace, compiled.programs[run.task].listing, golden, run.data)
    where = f"{compiled.config.name} on {compiled.arch.name}, task {run.task}"
    assert comparison.good, f"{where}: {comparison.mismatches} of {comparison.values} wrong, first: {comparison.first}"
    counts = {name: count.values for name, count in comparison.tensors.items()}
    assert counts == expected_counts(compiled.config, golden, run.task), where
    assert run.data is not None
    assert len(np.unique(run.data)) > min(8, run.data.size // 2), f"{where}: the result is nearly constant"
    check_attention(compiled, run)
    return Checked(run=run, golden=golden, comparison=comparison)


def check_attention(compiled: Compiled, run: SimRun) -> None:
    """One query row and one key tile a step at most, and as many steps as the schedule has."""
    arch, steps, queries = compiled.arch, 0, 0
    for layer in compiled.config.network.walk(run.task):
        if isinstance(layer, Attention):
            for entry in _scores_of(compiled, run.task, layer):
                rows = entry.fields["rows"]
                queries = max(queries, rows)
                steps += schedule_steps(rows, arch.token_lanes, arch.words(layer.keys))
        if isinstance(layer, Pool):
            steps += schedule_steps(1, arch.token_lanes, arch.words(layer.rows))
    counters = run.counters
    early = queries <= arch.token_lanes  # all queries may be there before the first step
    for name in ("ATTENTION_QUERY_READS", "ATTENTION_KEY_READS"):
        assert counters[name] == 1 or (early and counters[name] == 0), name
    assert counters["ATTENTION_STEPS"] == steps


def _scores_of(compiled: Compiled, task: str, layer: Attention) -> list[ListingEntry]:
    """The SCORES of a layer, of every head and block of queries: together, every query of every head."""
    name = f"{layer.scores}."
    found = [entry for entry in compiled.programs[task].listing if entry.name.startswith(name)]
    assert sum(entry.fields["rows"] for entry in found) == layer.heads * layer.queries
    return found


def checked_runs(
    arch: ArchConfig,
    package: QuantisedModel,
    images: Sequence[np.ndarray],
    *,
    verilog: str | None = None,
    options: SimOptions | None = None,
    parts: Parts = WHOLE,
) -> list[Checked]:
    """Every image through every task of ``package`` on ``arch``, all values compared."""
    compiled = compile_model(package, arch, parts)
    tasks = [task.name for task in package.config.tasks]
    result = run_machine(compiled, images, tasks, verilog=verilog, options=options)
    assert [(run.image, run.task) for run in result.runs] == [(i, t) for i in range(len(images)) for t in tasks]
    return [check_run(compiled, run, run_network(package, images[run.image], run.task)) for run in result.runs]
