"""Compiled programs on the golden machine: every named tensor equals the network's, whatever the machine."""

from dataclasses import replace

import numpy as np
import pytest

from golden.machine.machine import GoldenMachine
from golden.machine.state import TraceEntry
from golden.network import run_network
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.compiler.listing import Produced
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.layout import image_planes, result_rows
from hwgen.spec.presets import M3VIT_MICRO, M3VIT_TINY
from tests.golden.random_package import random_image, random_package

PACKAGE, IMAGE = random_package(M3VIT_MICRO, 3), random_image(M3VIT_MICRO, 3)
SHORT_QUEUES = [replace(ARCHS["sim"], name=f"queue-{n}", load_queue=n) for n in (2, 5)]
MODEL = 0x2000


def planes_of(compiled: Compiled, image: np.ndarray) -> np.ndarray:
    """The image as a host writes it."""
    return image_planes(image, compiled.config.network.image.patch, compiled.config.network.image.side)


def run(compiled: Compiled, image: np.ndarray, task: str) -> tuple[GoldenMachine, np.ndarray]:
    """Machine and head codes after one image."""
    program, planes = compiled.programs[task], planes_of(compiled, image)
    at_image = MODEL + -(-compiled.image.size // 4096) * 4096
    at_result = at_image + -(-planes.size // 4096) * 4096
    memory = np.zeros(at_result + program.result_bytes, dtype=np.uint8)
    memory[MODEL : MODEL + compiled.image.size] = compiled.image
    memory[at_image : at_image + planes.size] = planes
    machine = GoldenMachine(compiled.arch, memory)
    machine.run(MODEL + program.offset, model=MODEL, image=at_image, result=at_result)
    return machine, result_rows(memory[at_result:].copy(), program.result_rows, program.result_outputs, compiled.arch)


def place_words(tensor: np.ndarray, place: Produced, entry: TraceEntry, lanes: int) -> None:
    """Put the words of a trace entry where the listing says."""
    padding = -entry.tensor.shape[1] % lanes
    words = np.pad(entry.tensor, ((0, 0), (0, padding))).reshape(len(entry.rows), -1, lanes)
    for row, values in zip(entry.rows.tolist(), words, strict=True):
        for word, data in enumerate(values):
            place.put(tensor, row, word, data)


def named_tensors(compiled: Compiled, task: str, machine: GoldenMachine) -> dict[str, np.ndarray]:
    """The tensors that the listing names, gathered from the trace; -2^40 where nobody wrote."""
    found: dict[str, np.ndarray] = {}
    for entry in machine.trace:
        listed = compiled.programs[task].listing[entry.pc]
        if entry.name in ("experts", "expert_scores"):
            found[f"{listed.name.removesuffix(f'.gate.{task}')}.{entry.name}"] = entry.tensor
            continue
        for place in listed.produced:
            name = place.channel if place.destination is None else place.destination.name.lower()
            if entry.name == name and place.group_words:
                tensor = found.setdefault(place.tensor, np.full(place.shape, -(2**40)))
                place_words(tensor, place, entry, compiled.arch.output_lanes)
    return found


@pytest.mark.parametrize("arch", [*ARCHS.values(), *SHORT_QUEUES], ids=lambda arch: arch.name)
def test_every_named_tensor_of_micro(arch: ArchConfig):
    """All tensors of both tasks are compared, value by value."""
    compiled = compile_model(PACKAGE, arch)
    for task in ("seg", "depth"):
        expected = run_network(PACKAGE, IMAGE, task)
        machine, codes = run(compiled, IMAGE, task)
        assert np.array_equal(codes, expected[f"heads.{task}"])
        found = named_tensors(compiled, task, machine)
        names = [name for name in expected if not name.endswith(".queue_lengths")]
        assert sorted(found) == sorted(names)
        assert len(names) == 1 + 2 * 10 + 2 * 12 + 2
        for name in names:
            first = 1 if name in ("patch_embed", "norm") else 0  # row 0: position table; not needed by a dense head
            assert np.array_equal(found[name][first:], expected[name][first:]), name


def test_tiny_on_zcu102():
    package, image = random_package(M3VIT_TINY), random_image(M3VIT_TINY)
    _, codes = run(compile_model(package, ARCHS["zcu102"]), image, "seg")
    assert np.array_equal(codes, run_network(package, image, "seg")["heads.seg"])
    assert len(np.unique(codes)) > 500
