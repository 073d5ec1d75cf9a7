"""The figures of one case: cycles, where they go, traffic, cost; as they lie in results.json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from hwgen.compiler.listing import ListingEntry
from hwgen.estimator.estimate import estimate
from hwgen.estimator.resources import resources
from hwgen.report.verification import Pass, Verification
from hwgen.request import images_for
from hwgen.spec.arrays import package_arrays
from hwgen.spec.design import Design
from hwgen.spec.graph_model import Model, TaskConfig
from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.weight_bits import weight_bits_text
from hwgen.store.boards import board

WAITS = {  # figure -> performance counter; what is left of the idle cycles is "other"
    "operand": "WAIT_OPERAND",
    "weight": "WAIT_WEIGHT",
    "drain": "WAIT_DRAIN",
    "dependence": "WAIT_DEPENDENCE",
    "no instruction": "WAIT_IDLE",
}
ESTIMATE, SYNTHESIS = "estimate", "synthesis"  # where the number of DSPs comes from
OTHER = "other"  # steps of the attention schedule without a key tile, skipped experts, start and end


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One image, one task. ``information`` depends on the computer and is not compared."""

    model: str
    board: str
    arch: str
    task: str
    clock_mhz: float
    cycles: int  # start to interrupt
    macs: int  # multiplications that the network needs
    mac_utilisation: float  # macs / (MACs of the array x cycles)
    mac_cycles: int  # cycles in which the array multiplies
    exposed: Mapping[str, int]  # the other cycles, by cause
    attention_cycles: int  # from the start of each SCORES and CONTEXT to that of the next instruction
    ddr_read_bytes: int
    ddr_write_bytes: int
    ddr_least_bytes: int  # every number that the task needs once, image and result
    dsp: int
    dsp_source: str  # ESTIMATE or SYNTHESIS
    compared_values: int  # in RTL and golden
    mismatches: int
    queues: Mapping[str, list[int]]  # tokens of every expert
    estimated_cycles: int  # with these queues
    information: Mapping[str, float]
    weights: str = ""  # layers whose weights have four bits
    memory: str = ""  # what differs from the board's memory

    @property
    def name(self) -> str:
        """As the case is called."""
        arch = "" if self.arch == board(self.board).arch else self.arch
        return "/".join(part for part in (self.model, self.board, arch, self.weights, self.memory) if part)

    @property
    def title(self) -> str:
        """First column of the tables."""
        place = self.board if self.arch == board(self.board).arch else f"{self.board} ({self.arch})"
        return f"{self.model} on {place}{self.weights and f', {self.weights}'}{self.memory and f', {self.memory}'}"

    @property
    def milliseconds(self) -> float:
        """Time of one image."""
        return self.cycles / self.clock_mhz / 1e3

    @property
    def ddr_ratio(self) -> float:
        """Bytes moved over the least that is possible."""
        return (self.ddr_read_bytes + self.ddr_write_bytes) / self.ddr_least_bytes

    @property
    def estimate_error(self) -> float:
        """Of the estimate, relative."""
        return self.estimated_cycles / self.cycles - 1

    def to_json(self) -> dict[str, Any]:
        """As data."""
        return asdict(self)


def least_bytes(model: Model, task: TaskConfig) -> int:
    """Bytes of every array that the task uses, of the image, and of the result; two four-bit weights to a byte."""
    total = model.channels * model.image_height * model.image_width
    total += 2 * task.outputs * model.result_rows(task)
    own = {name for layer in model.network.walk(task.name) for name in layer.arrays()}
    for name, spec in package_arrays(model).items():
        if name in own or name not in model.network.arrays:
            layer = model.network.linears.get(name.removesuffix(".weight"))
            bits = layer.format.bits if layer and name.endswith(".weight") else 8
            total += int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize * bits // 8
    return total


def attention_cycles(item: Pass, listing: Sequence[ListingEntry]) -> int:
    """Cycles of the compute unit for q.k and p.v."""
    times = [time for time in item.run.instructions(listing) if time.unit == Unit.COMPUTE.name]
    return sum(
        (following.start_cycle or 0) - (time.start_cycle or 0)
        for time, following in pairwise(times)
        if listing[time.index].opcode in (Opcode.SCORES, Opcode.CONTEXT)
    )


def figures_of(found: Verification, memory: str = "") -> Figures:
    """The figures of a verification of one image and one task; ``memory``: what differs from the board's."""
    (item,), design = found.passes, found.design
    counters = item.run.counters
    cycles, busy = counters["CYCLES"], counters["MAC_CYCLES"]
    exposed = {name: counters[register] for name, register in WAITS.items()}
    exposed[OTHER] = cycles - busy - sum(exposed.values())
    queues = {
        name: [int(count) for count in value] for name, value in item.golden.items() if name.endswith(".queue_lengths")
    }
    return Figures(
        model=design.model.name,
        weights=weight_bits_text(design.model),
        board=design.board.name,
        memory=memory,
        arch=design.arch.name,
        task=item.run.task,
        clock_mhz=design.board.clock_mhz,
        cycles=cycles,
        macs=found.macs,
        mac_utilisation=round(found.macs / (design.arch.macs * cycles), 5),
        mac_cycles=busy,
        exposed=exposed,
        attention_cycles=attention_cycles(item, found.compiled.programs[item.run.task].listing),
        ddr_read_bytes=item.run.ddr_read_bytes,
        ddr_write_bytes=item.run.ddr_write_bytes,
        ddr_least_bytes=least_bytes(design.model, design.model.task(item.run.task)),
        dsp=resources(design.arch).dsp,
        dsp_source=ESTIMATE,
        compared_values=found.values,
        mismatches=found.mismatches,
        queues=queues,
        estimated_cycles=estimate(design, item.run.task, queues=queues or None).cycles,
        information={
            "sim_cycles_per_second": round(found.simulation.sim_cycles_per_second),
            "sim_seconds": round(found.simulation.sim_seconds, 2),
        },
    )


def images(design: Design, seed: int) -> list[np.ndarray]:
    """The generated scene that is sent through."""
    return images_for(design.model, None, 1, seed)
