"""Estimated cycles of one image, from shapes alone: no weights needed.

The sum of the units' own cycles (hwgen/spec/timing.py) and a model of the memory, walked tile by tile and burst by
burst. How many tokens each expert gets depends on the image: the queues are taken to be even unless they are given.
"""

from dataclasses import asdict, dataclass
from typing import Any

from hwgen.compiler.compile import scheduled
from hwgen.compiler.fit import check_fit
from hwgen.estimator.cycles import step_cycles
from hwgen.estimator.resources import resources
from hwgen.estimator.shares import Share, shares
from hwgen.estimator.timeline import Queues, end_cycle, intervals, numbered, run_machine
from hwgen.spec.design import Design
from hwgen.spec.isa import FETCH_BYTES, INSTRUCTION_BYTES, Opcode
from hwgen.spec.ops import OPS


@dataclass(frozen=True, kw_only=True)
class InstructionEstimate:
    """One instruction of the program."""

    index: int
    name: str
    opcode: str
    start_cycle: int
    end_cycle: int
    cycles: int  # busy cycles of its unit when nothing makes it wait
    macs: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one image takes under one task on one board: cycles, bytes of DDR, resources, and every instruction.

    ``resources`` has a line each for LUTs, FFs, block RAMs and DSPs, with what the part has.
    """

    model: str
    board: str
    arch: str
    task: str
    clock_mhz: float
    cycles: int
    macs: int
    mac_utilisation: float  # useful MACs / (MACs of the array x cycles)
    ddr_read_bytes: int
    ddr_write_bytes: int
    resources: dict[str, dict[str, float]]
    shares: tuple[Share, ...]  # where the cycles go
    instructions: tuple[InstructionEstimate, ...]

    @property
    def milliseconds(self) -> float:
        """Time of one image."""
        return self.cycles / self.clock_mhz / 1e3

    def to_json(self) -> dict[str, Any]:
        """The estimate as JSON data."""
        return asdict(self) | {"milliseconds": self.milliseconds, "estimate": True}


def estimate(design: Design, task: str | None = None, queues: Queues | None = None) -> Estimate:
    """Cycles, traffic and resources of one image; ``task``: the first one when not given.

    ``queues`` gives tokens per expert by name of the tensor (``blocks.1.queue_lengths``, as ``golden.network`` returns
    it): with the queues of an image, the estimate is that of this image. Without, experts share the tokens evenly.
    """
    network = design.model.network
    check_fit(design.model.name, network, design.arch)
    name = task or design.model.tasks[0].name
    steps = scheduled(network, design.arch, [name], lambda array: [1] * network.arrays[array].shape[0])[1][name]
    machine = run_machine(numbered(steps, queues), design.arch, design.board)
    times, cycles = intervals(machine), end_cycle(machine)
    entries = tuple(
        InstructionEstimate(
            index=index,
            name=step.name,
            opcode=step.opcode.name,
            start_cycle=interval.start_cycle,
            end_cycle=interval.end_cycle,
            cycles=step_cycles(step, design.arch),
            macs=step.macs,
        )
        for index, (step, interval) in enumerate(zip(steps, times, strict=True))
    )
    macs = sum(entry.macs for entry in entries)
    moved = {step.opcode is Opcode.STORE: 0 for step in steps}
    for step in steps:
        moved[step.opcode is Opcode.STORE] += OPS[step.opcode].moves(step.fields, design.arch)
    return Estimate(
        model=design.model.name,
        board=design.board.name,
        arch=design.arch.name,
        task=name,
        clock_mhz=design.board.clock_mhz,
        cycles=cycles,
        macs=macs,
        mac_utilisation=macs / (design.arch.macs * cycles),
        ddr_read_bytes=moved[False] + -(-len(steps) * INSTRUCTION_BYTES // FETCH_BYTES) * FETCH_BYTES,
        ddr_write_bytes=moved[True],
        resources=resources(design.arch).against(design.board),
        shares=tuple(shares(network, name, steps, times, cycles)),
        instructions=entries,
    )
