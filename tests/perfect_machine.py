"""A simulation in which the machine makes no mistake: traces written from the golden tensors of its programs.

Stands in for ``sim.session.simulate`` where a test is about what happens around a simulation.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from golden.network import run_network
from hwgen import pipeline
from hwgen.compiler.compile import Compiled
from hwgen.compiler.listing import ListingEntry, Produced
from hwgen.spec.package import QuantisedModel
from hwgen.spec.trace import CHANNELS
from sim.runner import Build
from sim.session import SimResult, SimRun
from sim.trace import Trace, record_type

CYCLES_PER_INSTRUCTION = 100
STAND_IN = "module hwgen_accelerator(); endmodule\n"  # in place of a machine's Verilog


def _words(entry: ListingEntry, item: Produced, tensor: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """Records of a tensor that comes in words."""
    words = item.as_words(np.asarray(tensor, dtype=np.int64), kind["data"].shape[0])
    records = np.zeros((item.rows, item.words), dtype=kind)
    records["cycle"] = CYCLES_PER_INSTRUCTION * entry.index + 7
    records["pc"] = entry.index
    if item.destination is not None:
        records["destination"] = int(item.destination)
    records["row"] = np.arange(item.rows)[:, None]
    records["word"] = np.arange(item.words)
    records["data"] = words
    return records.reshape(-1)


def _chosen(entry: ListingEntry, golden: Mapping[str, NDArray[Any]], kind: np.dtype[Any]) -> NDArray[Any]:
    """Records of the experts that the gate chose."""
    at = next(item.tensor for item in entry.produced if item.channel == "gate").rpartition(".")[0]
    experts, scores = golden[f"{at}.experts"], golden[f"{at}.expert_scores"]
    records = np.zeros(experts.shape, dtype=kind)
    records["cycle"], records["pc"] = CYCLES_PER_INSTRUCTION * entry.index + 9, entry.index
    records["token"] = np.arange(experts.shape[0])[:, None]
    records["expert"], records["score"] = experts, scores
    return records.reshape(-1)


def perfect_trace(listing: Sequence[ListingEntry], golden: Mapping[str, NDArray[Any]], lanes: int) -> Trace:
    """What a machine without faults leaves on every trace channel."""
    kinds = {channel.name: record_type(channel, lanes) for channel in CHANNELS}
    parts: dict[str, list[NDArray[Any]]] = {name: [np.zeros(0, dtype=kind)] for name, kind in kinds.items()}
    for entry in listing:
        start = parts.get(f"start_{entry.unit.name.lower()}")
        if start is not None:
            record = np.zeros(1, dtype=start[0].dtype)
            record["cycle"], record["pc"] = CYCLES_PER_INSTRUCTION * entry.index, entry.index
            start.append(record)
        for item in entry.produced:
            if item.channel != "gate":
                parts[item.channel].append(_words(entry, item, golden[item.tensor], kinds[item.channel]))
        if any(item.channel == "gate" for item in entry.produced):
            parts["gate"].append(_chosen(entry, golden, kinds["gate"]))
    return {name: np.concatenate(records) for name, records in parts.items()}


def perfect_result(
    package: QuantisedModel, compiled: Compiled, images: Sequence[NDArray[np.uint8]], tasks: Sequence[str]
) -> SimResult:
    """Every image through every task, as `sim.session.simulate` returns it."""
    runs: list[SimRun] = []
    for index, image in enumerate(images):
        for task in tasks:
            golden = run_network(package, image, task)
            listing = compiled.programs[task].listing
            cycles = CYCLES_PER_INSTRUCTION * len(listing)
            runs.append(
                SimRun(
                    task=task,
                    image=index,
                    data=golden[f"heads.{task}"].astype(np.int16),
                    counters={"CYCLES": cycles},
                    error=None,
                    interrupt_cycle=0,
                    simulated_cycles=cycles + 50,
                    seconds=0.5,
                    ddr_read_bytes=1000,
                    ddr_write_bytes=16,
                    trace=perfect_trace(listing, golden, compiled.arch.output_lanes),
                )
            )
    return SimResult(runs=tuple(runs), build=Build(Path(), "", False, 1.0, True), seconds=1.0)


def without_simulator(monkeypatch: pytest.MonkeyPatch, simulate: Callable[..., SimResult]) -> None:
    """Replace what is slow in a verification: elaboration, board files, compilation, and simulation by ``simulate``.

    What is kept of elaboration is replaced, not what makes it: else a stand-in would be kept as a machine.
    """
    monkeypatch.setattr(pipeline, "machine_verilog", lambda _arch: STAND_IN)
    monkeypatch.setattr(pipeline, "_write_board", lambda part, _result: (part / "board.txt").write_text("board"))
    monkeypatch.setattr(pipeline, "build_simulator", lambda *_: None)
    monkeypatch.setattr(pipeline, "simulate", simulate)
