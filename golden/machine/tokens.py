"""The token unit of the golden machine: SELECT, GATHER and SCATTER on the residual buffer, by lists of rows."""

from collections.abc import Callable

import numpy as np

from golden.machine.buffers import Region
from golden.machine.progress import Guard, IllegalProgramError
from golden.machine.state import Fields, MachineState
from golden.select import fused_row, fused_weights, importance, kept
from hwgen.spec.isa import Counter, Opcode, Unit
from hwgen.spec.tables import Int64Array

_FIRST_HEAD = 1  # value of ``observe``; 2: a head behind it


def observe(state: MachineState, guard: Guard, f: Fields, score: Int64Array) -> None:
    """Importances of the keys of row 0 of a SCORES, over those of the heads before."""
    if not f["observe"]:
        return
    tables = state.table(guard, "exp2"), state.table(guard, "reciprocal")
    found, words = importance(*tables, score[:1]), state.arch.words(f["keys"])
    region = Region(np.arange(1), 0, words, words)
    padded = np.pad(found, (0, words * state.arch.output_lanes - len(found)))[None]
    if f["observe"] != _FIRST_HEAD:
        padded = padded + guard.read(state.importance, region, own_writes=True)
    count = int(state.progress.count[Counter.SCORE])
    state.importance.write(region, padded, Unit.COMPUTE, Counter.SCORE, count)


def select(state: MachineState, guard: Guard, f: Fields) -> None:
    """SELECT: positions that are kept; the others are noted with their weights."""
    rows, words = f["rows"], state.arch.words(f["rows"])
    if not 1 <= f["keep"] <= rows - f["prefix"]:
        raise IllegalProgramError(guard.pc, f"SELECT keeps {f['prefix']} and {f['keep']} of {rows} rows")
    found = guard.read(state.importance, Region(np.arange(1), 0, words, words))[0, :rows]
    chosen = kept(found, f["prefix"], f["keep"])
    others = np.setdiff1d(np.arange(rows), chosen)
    if f["fuse"] and not others.size:
        raise IllegalProgramError(guard.pc, "SELECT keeps every row, so that there is none to fuse")
    state.dropped = np.stack([others, fused_weights(found[others], f["weight"])], axis=1)
    entries = np.append(chosen, f["fused_row"]) if f["fuse"] else chosen
    region = Region(np.arange(len(entries)), f["list_base"], 1, 1)
    state.list.write(region, entries[:, None], Unit.NORM, Counter.NONE, 0)
    state.keep(guard, "importance", np.arange(rows), found)
    state.keep(guard, "kept", chosen, chosen)


def gather(state: MachineState, guard: Guard, f: Fields) -> None:
    """GATHER: the sum of what was dropped, then listed rows one behind the other."""
    source = {"base": f["src_base"], "stride": f["src_stride"], "words": f["words"]}
    if f["fuse"]:
        rows, weights = state.dropped.T
        total = fused_row(weights, guard.read(state.residual, Region(rows, **source)))
        fused = Region(np.array([0]), f["src_base"] + f["rows_in"] * f["src_stride"], f["src_stride"], f["words"])
        state.residual.write(fused, total[None], Unit.NORM, Counter.NONE, 0)
    moved = guard.read(state.residual, Region(_entries(state, guard, f), **source))
    region = Region(np.arange(f["rows"]), f["dst_base"], f["dst_stride"], f["words"])
    state.residual.write(region, moved, Unit.NORM, Counter.NONE, 0)
    state.keep(guard, "gathered", region.rows, moved)


def scatter(state: MachineState, guard: Guard, f: Fields) -> None:
    """SCATTER: rows to where a list says."""
    rows = _entries(state, guard, f)
    source = Region(np.arange(f["rows"]), f["src_base"], f["src_stride"], f["words"])
    moved = guard.read(state.residual, source)
    target = Region(rows, f["dst_base"], f["dst_stride"], f["words"])
    state.residual.write(target, moved, Unit.NORM, Counter.NONE, 0)
    state.keep(guard, "scattered", rows, moved)


def _entries(state: MachineState, guard: Guard, f: Fields) -> Int64Array:
    """Rows that a list names."""
    return guard.read(state.list, Region(np.arange(f["rows"]), f["list_base"], 1, 1))[:, 0]


TOKENS: dict[Opcode, Callable[[MachineState, Guard, Fields], None]] = {
    Opcode.SELECT: select,
    Opcode.GATHER: gather,
    Opcode.SCATTER: scatter,
}
