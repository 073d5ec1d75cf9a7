"""Programs of the compiler with some instructions changed: the same length, in the same image."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwgen.compiler.compile import Compiled
from hwgen.compiler.step import Step
from hwgen.spec.encoding import encode, to_bytes


def steps_of(compiled: Compiled, task: str) -> list[Step]:
    """The instructions of a program."""
    return [
        Step(opcode=entry.opcode, name=entry.name, fields=dict(entry.fields))
        for entry in compiled.programs[task].listing
    ]


def with_steps(compiled: Compiled, task: str, steps: Sequence[Step]) -> Compiled:
    """Only this task, with other instructions; the listing stays, so what they leave behind must be the same."""
    program, image = compiled.programs[task], compiled.image.copy()
    if len(steps) != len(program.words):
        raise ValueError(f"{len(steps)} instructions, expected {len(program.words)}")
    words = tuple(encode(step.opcode, **step.fields) for step in steps)
    data = np.frombuffer(to_bytes(list(words)), dtype=np.uint8)
    image[program.offset : program.offset + data.size] = data
    return replace(compiled, image=image, programs={task: replace(program, words=words)})
