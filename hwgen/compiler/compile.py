"""Quantised model and arch to programs and one memory image."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.compiler.allocate import allocate
from hwgen.compiler.blocks import blocked
from hwgen.compiler.errors import CompileError
from hwgen.compiler.fit import check_fit
from hwgen.compiler.hazards import checked
from hwgen.compiler.listing import ListingEntry
from hwgen.compiler.liveness import stuck
from hwgen.compiler.lower import lower
from hwgen.compiler.lower.writer import Scalars, Writer
from hwgen.compiler.memory_image import Entry, ImagePlan, ImageWriter, plan_data, plan_program
from hwgen.compiler.parts import WHOLE, Parts
from hwgen.compiler.schedule import with_loads
from hwgen.compiler.step import Step
from hwgen.compiler.streams import Stream
from hwgen.compiler.walk import Walk
from hwgen.spec.arch import ArchConfig
from hwgen.spec.encoding import encode, to_bytes
from hwgen.spec.graph import Network
from hwgen.spec.graph_model import Model
from hwgen.spec.layout import U8, result_bytes
from hwgen.spec.ops import OPS
from hwgen.spec.package import QuantisedModel

MAX_INSTRUCTIONS = 2**16  # an instruction index has 16 bits


@dataclass(frozen=True, kw_only=True)
class Program:
    """The instructions of one task and where they lie."""

    task: str
    words: tuple[int, ...]
    offset: int  # bytes from MODEL; the PROGRAM pointer is MODEL + offset
    listing: tuple[ListingEntry, ...]
    result_rows: int
    result_outputs: int
    result_bytes: int

    @property
    def macs(self) -> int:
        """Multiplications that the network needs."""
        return sum(entry.macs for entry in self.listing)


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """Programs of every task and the memory image that they share."""

    config: Model
    arch: ArchConfig
    image: U8
    manifest: tuple[Entry, ...]
    programs: Mapping[str, Program]

    def entry(self, name: str) -> Entry:
        """The manifest entry called ``name``."""
        for entry in self.manifest:
            if entry.name == name:
                return entry
        raise KeyError(f"no {name!r} in the image; it has {', '.join(entry.name for entry in self.manifest)}")

    def sha256(self) -> str:
        """Digest of the image."""
        return hashlib.sha256(self.image.tobytes()).hexdigest()


def scheduled(
    network: Network, arch: ArchConfig, tasks: Sequence[str], scalars: Scalars, parts: Parts = WHOLE
) -> tuple[ImagePlan, dict[str, list[Step]]]:
    """Where everything lies in the image, and the instructions of every task with their loads.

    The network fits the machine (`check_fit`). The first pass finds out which streams there are; offsets are known to
    the second.
    """
    walks = {task: blocked(Walk(network=network, task=task, arch=arch, parts=parts)) for task in tasks}
    places = {task: allocate(walk).places for task, walk in walks.items()}

    def lowered(task: str, plan: ImagePlan) -> list[Step]:
        return lower(Writer(walks[task], dict(places[task]), scalars, plan.offsets))

    empty = plan_data(network, arch, ())
    drafts = [lowered(task, empty) for task in tasks]
    plan = plan_data(network, arch, [stream for steps in drafts for stream in consumed_streams(steps)])
    programs = {task: _ordered(task, with_loads(lowered(task, plan), plan.offsets, arch), arch) for task in tasks}
    for task, steps in programs.items():
        plan_program(plan, task, len(steps))
    return plan, programs


def _ordered(task: str, steps: Sequence[Step], arch: ArchConfig) -> list[Step]:
    """The program with the waits that it needs; CompileError when no wait helps, or when it does not end."""
    program = checked(steps, arch)
    if program.hazards:
        raise CompileError("\n  ".join([f"task {task} is in no order:", *(hazard.text for hazard in program.hazards)]))
    waiting = stuck(program.steps, arch)
    if waiting is not None:
        raise CompileError(f"task {task} would never end: {waiting}")
    return program.steps


def consumed_streams(steps: Sequence[Step]) -> list[Stream]:
    """Weight streams in the order of consumption."""
    return [stream for step in steps for stream in step.streams]


def _encode(step: Step) -> int:
    try:
        return encode(step.opcode, **step.fields)
    except ValueError as error:
        raise CompileError(f"{step.name}: {error}") from error


def _program(network: Network, arch: ArchConfig, task: str, steps: Sequence[Step], offset: int) -> Program:
    if len(steps) > MAX_INSTRUCTIONS:
        raise CompileError(f"task {task}: {len(steps):,} instructions, a program has at most {MAX_INSTRUCTIONS:,}")
    listing = tuple(
        ListingEntry(
            index=index,
            opcode=step.opcode,
            unit=OPS[step.opcode].unit,
            name=step.name,
            fields=step.fields,
            macs=step.macs,
            produced=step.produced,
        )
        for index, step in enumerate(steps)
    )
    head = network.result(task)
    return Program(
        task=task,
        words=tuple(_encode(step) for step in steps),
        offset=offset,
        listing=listing,
        result_rows=head.rows,
        result_outputs=head.outputs,
        result_bytes=result_bytes(head.rows, head.outputs, arch),
    )


def compile_model(package: QuantisedModel, arch: ArchConfig, parts: Parts = WHOLE) -> Compiled:
    """Programs of every task and one memory image; CompileError says what does not fit, with figures.

    ``parts`` cuts layers smaller than they have to be.
    """
    network = package.config.network
    check_fit(package.config.name, network, arch, parts)
    tasks = [task.name for task in package.config.tasks]

    def scalars(name: str) -> list[int]:
        return [int(value) for value in package.arrays[name]]

    plan, steps = scheduled(network, arch, tasks, scalars, parts)
    programs = {task: _program(network, arch, task, steps[task], plan.offsets[f"program.{task}"]) for task in tasks}
    writer = ImageWriter(plan)
    writer.put_data(package, arch, [stream for task in tasks for stream in consumed_streams(steps[task])])
    for task, program in programs.items():
        words = np.frombuffer(to_bytes(list(program.words)), dtype=np.uint8)
        writer.put(f"program.{task}", words)
    return Compiled(config=package.config, arch=arch, image=writer.image, manifest=writer.manifest(), programs=programs)
