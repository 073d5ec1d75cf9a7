"""Reads the trace records of a simulation: one structured array per channel, as declared in hwgen/spec/trace.py."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.listing import ListingEntry
from hwgen.spec.isa import Unit
from hwgen.spec.trace import CHANNELS, CONFLICT, SHARED, START_PREFIX, TraceChannel

Records = NDArray[Any]
Trace = dict[str, Records]
BY_NAME = {channel.name: channel for channel in CHANNELS}


class TraceError(ValueError):
    """Records that cannot be read; the message names the file."""


def record_type(channel: TraceChannel, lanes: int) -> np.dtype[Any]:
    """NumPy type of one record."""
    parts: list[tuple[Any, ...]] = [("cycle", "<u4")]
    parts += [(field.name, "<u2") for field in channel.fields]
    parts += [(f"padding{index}", "<u2") for index in range(channel.padding_fields)]
    if channel.lane_bits:
        parts.append(("data", f"<i{channel.lane_bits // 8}", (lanes,)))
    result = np.dtype(parts)
    if result.itemsize != channel.record_bytes(lanes):
        raise TraceError(f"{channel.name}: records of {result.itemsize} bytes, declared {channel.record_bytes(lanes)}")
    return result


def read_channel(folder: Path, channel: TraceChannel, lanes: int) -> Records:
    """All records of a channel; TraceError when the file is missing or ends within a record."""
    path = folder / f"{channel.name}.bin"
    if not path.is_file():
        raise TraceError(f"{path} was not written")
    kind = record_type(channel, lanes)
    if path.stat().st_size % kind.itemsize:
        raise TraceError(f"{path}: {path.stat().st_size} bytes are not a multiple of records of {kind.itemsize}")
    return np.fromfile(path, kind)


def read_trace(folder: Path, lanes: int) -> Trace:
    """Every channel of a simulation."""
    return {channel.name: read_channel(folder, channel, lanes) for channel in CHANNELS}


def of_run(records: Records, start: int, end: int) -> Records:
    """The records of one run, cycles counted from its start."""
    part = records[(records["cycle"] >= start) & (records["cycle"] <= end)].copy()
    part["cycle"] -= start
    return part


def between(trace: Trace, start: int, end: int) -> Trace:
    """Every channel of one run."""
    return {name: of_run(records, start, end) for name, records in trace.items()}


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """Two units wrote one memory in one cycle, counted from the start of the run: a word was lost."""

    memory: str
    cycle: int

    def __str__(self) -> str:
        """One line for the terminal."""
        return f"post-processor and IO engine both wrote the {self.memory} buffer in cycle {self.cycle:,}"


def read_conflicts(folder: Path, lanes: int, start: int, end: int) -> tuple[Conflict, ...]:
    """Those of one run, in the order of time; recorded without traces, too."""
    records = of_run(read_channel(folder, CONFLICT, lanes), start, end)
    return tuple(
        Conflict(memory=memory.name, cycle=int(record["cycle"]))
        for record in records
        for bit, memory in enumerate(SHARED)
        if int(record["memories"]) >> bit & 1
    )


def of_instruction(records: Records, pc: int) -> Records:
    """Records of one instruction, in the order of time."""
    return records[records["pc"] == pc]


@dataclass(frozen=True, kw_only=True)
class InstructionTime:
    """When an instruction ran, in cycles since the start of the run; None when it was never seen to start."""

    index: int
    name: str
    unit: str
    start_cycle: int | None
    end_cycle: int | None
    macs: int


def _last_words(trace: Trace) -> dict[int, int]:
    """Instruction -> cycle of the last word that it finished."""
    last: dict[int, int] = {}
    for name in ("post", "norm"):
        for pc, cycle in zip(trace[name]["pc"].tolist(), trace[name]["cycle"].tolist(), strict=True):
            last[pc] = max(cycle, last.get(pc, 0))
    return last


def instruction_times(trace: Trace, listing: Iterable[ListingEntry], cycles: int) -> list[InstructionTime]:
    """Start and end of every instruction: its end is its last word, or the start of the next one on its unit."""
    starts: dict[int, int] = {}
    follows: dict[int, int] = {}
    for channel in CHANNELS:
        if channel.name.startswith(START_PREFIX):
            events = trace[channel.name]
            order = list(zip(events["pc"].tolist(), events["cycle"].tolist(), strict=True))
            starts |= dict(reversed(order))
            follows |= {pc: after for (pc, _), (_, after) in pairwise(order)}
    last = _last_words(trace)
    times: list[InstructionTime] = []
    for entry in listing:
        start = starts.get(entry.index)
        end = last[entry.index] + 1 if entry.index in last else follows.get(entry.index, cycles)
        if entry.unit is Unit.CONTROL:
            start, end = cycles, cycles
        times.append(
            InstructionTime(
                index=entry.index,
                name=entry.name,
                unit=entry.unit.name,
                start_cycle=start,
                end_cycle=None if start is None else end,
                macs=entry.macs,
            )
        )
    return times
