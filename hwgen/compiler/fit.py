"""Whether a network fits a machine: everything that does not, in one message."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hwgen.compiler.allocate import allocate, by_program, memories
from hwgen.compiler.blocks import blocked
from hwgen.compiler.errors import CompileError
from hwgen.compiler.gates import gates_in_turn
from hwgen.compiler.lower import FACES
from hwgen.compiler.parts import WHOLE, Parts
from hwgen.compiler.places import Place
from hwgen.compiler.streams import Stream
from hwgen.compiler.walk import Walk
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import ADDRESS_WORDS, NORM_RING, PARAM_RING, SCORE, SCORE_SLOTS, WEIGHT_RING, MemoryInfo
from hwgen.spec.graph import Network

HAZARDS_SHOWN = 3  # one mistake is often made in every layer


@dataclass(frozen=True)
class _Problem:
    """Something that does not fit; of each subject the worst is told."""

    subject: str  # a field of the arch, or the text of what no field helps with
    need: int
    text: str


def problems(network: Network, arch: ArchConfig, parts: Parts = WHOLE) -> list[str]:
    """A line for each thing of the machine that is too small, with the layer or tensor that needs most of it.

    What can be cut is no problem: of it a line says what its smallest part needs.
    """
    worst: dict[str, _Problem] = {}
    for task in network.tasks:
        walk = blocked(Walk(network=network, task=task, arch=arch, parts=parts))
        for problem in _problems(walk):
            if problem.subject not in worst or problem.need > worst[problem.subject].need:
                worst[problem.subject] = problem
    return [problem.text for problem in worst.values()]


def fits(network: Network, arch: ArchConfig) -> bool:
    """Whether the network fits the machine."""
    walks = (blocked(Walk(network=network, task=task, arch=arch)) for task in network.tasks)
    return not any(True for walk in walks for _ in _problems(walk))  # the first one is enough


def check_fit(name: str, network: Network, arch: ArchConfig, parts: Parts = WHOLE) -> None:
    """CompileError lists everything of network ``name`` that does not fit."""
    found = problems(network, arch, parts)
    if found:
        raise CompileError("\n  ".join([f"{name} does not fit arch {arch.name}:", *found]))


def _problems(walk: Walk) -> Iterator[_Problem]:
    """What layers cannot do, then what is too small; order only of what fits, where it means something."""
    places = memories(walk)
    refused = [*gates_in_turn(walk)]
    refused += [text for layer in walk.layers for text in FACES[type(layer)].refusals(walk, places, layer)]
    yield from (_Problem(text, 0, text) for text in refused)
    limits = list(_limit_problems(walk))
    yield from limits
    if limits and not refused:
        yield from _place_problems(by_program(walk).values(), walk.arch)
    elif not refused:
        yield from _allocation_problems(walk)


def _limit_problems(walk: Walk) -> Iterator[_Problem]:
    """What layers need of the machine besides places."""
    streams = dict[str, str]()
    for layer in walk.layers:
        face = FACES[type(layer)]
        for limit in face.limits(walk, layer):
            there = _most(walk.arch, limit.field)
            if limit.need > there:
                text = f"{layer.name}: {limit.what} {limit.need:,}, this arch takes {there:,}"
                yield _Problem(limit.field, limit.need, f"{text}; {walk.arch.advice(limit.field, limit.need)}")
        for stream in face.streams(walk, layer):
            if streams.setdefault(stream.name, layer.name) != layer.name:
                text = f"{layer.name}: loads {stream.name}, as {streams[stream.name]} does; rename one of them"
                yield _Problem(text, 0, text)
            yield from _ring_problems(stream, walk.arch)


def _allocation_problems(walk: Walk) -> Iterator[_Problem]:
    """Buffers that are too small, and what is in no order."""
    try:
        allocation = allocate(walk)
    except CompileError as error:
        yield _Problem(str(error), 0, str(error))
        return
    yield from _place_problems(allocation.places.values(), walk.arch)
    yield from (_Problem(hazard.text, 0, hazard.text) for hazard in allocation.hazards[:HAZARDS_SHOWN])


def _most(arch: ArchConfig, field: str) -> int:
    """What a field of the arch allows: products are as deep as whole words of inputs, scores have whole slots."""
    value = int(getattr(arch, field))
    if field == "max_inputs":
        return arch.words(value) * arch.output_lanes
    return value // SCORE_SLOTS * SCORE_SLOTS if field == SCORE.size_field else value


def _place_problems(places: Iterable[Place], arch: ArchConfig) -> Iterator[_Problem]:
    for place in places:
        memory = place.memory
        if place.end > ADDRESS_WORDS:
            text = (
                f"{place.tensor} needs {place.end:,} words of the {memory.name} buffer, instructions address"
                f" {ADDRESS_WORDS:,}; use more output_lanes"
            )
            yield _Problem(memory.name, place.end, text)
        elif place.end > memory.words(arch):
            yield _too_small(place.tensor, place.end, memory, f"{memory.name} buffer", arch)


def _too_small(who: str, words: int, memory: MemoryInfo, name: str, arch: ArchConfig) -> _Problem:
    """More words than a memory has: in bytes, where that is how the arch gives its size."""
    unit, field = memory.unit(arch), memory.size_field
    what = " B" if field.endswith("_bytes") else " entries"
    need, there = words * unit, memory.words(arch) * unit
    text = f"{who} needs {need:,}{what} of the {name}, this arch has {there:,}; {arch.advice(field, need)}"
    return _Problem(field, need, text)


def _ring_problems(stream: Stream, arch: ArchConfig) -> Iterator[_Problem]:
    """Weights that are used again, and the parameters of one load, are in their rings as a whole."""
    kept = (section for section in stream.sections if section.kept)
    needs = [(section.source, section.words, WEIGHT_RING, "weight ring") for section in kept]
    needs.append((stream.name, stream.param_entries, PARAM_RING, "parameter ring"))
    needs.append((stream.name, stream.norm_entries, NORM_RING, "LayerNorm parameter ring"))
    for who, words, memory, name in needs:
        if words > memory.words(arch):
            yield _too_small(who, words, memory, name, arch)
