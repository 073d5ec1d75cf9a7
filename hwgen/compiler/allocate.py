"""Where the tensors of a task lie: the first place that nobody reads any more when the first word is written there.

When that is, the order of the machine says. So the layers are lowered once with every tensor at a place of its own, and
that program is asked what the instruction that begins a tensor knows of those that touch another.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hwgen.compiler.hazards import Checked, Hazard, checked
from hwgen.compiler.knowledge import Known, Numbers
from hwgen.compiler.lower import FACES, lower
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.places import Held, Lifetime, Place, apart, placed
from hwgen.compiler.walk import Walk
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import NORM
from hwgen.spec.layers import Layer
from hwgen.spec.ops import OPS
from hwgen.spec.ops.op import Access
from hwgen.spec.order import Stage


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """Places by tensor, and what is in no order wherever they are."""

    places: dict[str, Place]
    hazards: list[Hazard]


@lru_cache(maxsize=32)
def allocate(walk: Walk) -> Allocation:
    """Whether the buffers are large enough is another question (`hwgen.compiler.fit`)."""
    lifetimes = list(_lifetimes(walk))
    places = apart([item.held for item in lifetimes], walk.arch)
    draft = Writer(walk, dict(places), lambda name: [1] * walk.network.arrays[name].shape[0], defaultdict(int))
    program = checked(lower(draft), walk.arch)
    touching = _Touching(program, places.values(), walk.arch).places

    def settled(old: str, new: str) -> bool:
        begins = touching[_key(places[new])].begins
        return begins is not None and bool(np.all(begins >= touching[_key(places[old])].ends))

    return Allocation(places=placed(lifetimes, walk.arch, settled), hazards=program.hazards)


def by_program(walk: Walk) -> dict[str, Place]:
    """Tensor -> place, if everyone were done with what the program does not read any more; what that takes at least."""
    return placed(list(_lifetimes(walk)), walk.arch, lambda _old, _new: True)


def memories(walk: Walk) -> dict[str, Place]:
    """Tensor -> a place, which is one of its own: what is right is the buffer."""
    return apart([item.held for item in _lifetimes(walk)], walk.arch)


def _lifetimes(walk: Walk) -> Iterator[Lifetime]:
    """Of everything that layers hold, in the order of the walk; what nobody reads is needed while it is written."""
    numbers = {layer.name: number for number, layer in enumerate(walk.layers)}
    for number, layer in enumerate(walk.layers):
        for held in FACES[type(layer)].holds(walk, layer):
            reads = [numbers[reader.name] + _in_turn(walk, reader, held) for reader in walk.readers(held.tensor)]
            yield Lifetime(held=held, begins=number, ends=max([number, *reads]))


def _in_turn(walk: Walk, reader: Layer, held: Held) -> bool:
    """Whether the layer behind a reader works before that has read everything, because they go block by block.

    What that layer leaves in the activation buffer must not lie on rows that are still to be read. Nothing comes into
    the norm buffer before the last block, in the order of the program.
    """
    return reader.name in walk.blocks and held.memory is not NORM


@dataclass
class _Touched:
    """What the first word of a place knows when it is written; the last row of every stage that touches any."""

    begins: Numbers | None
    ends: Numbers


class _Touching:
    """Who touches the places of a program in which each is of its own."""

    def __init__(self, program: Checked, places: Iterable[Place], arch: ArchConfig) -> None:
        self._bases = defaultdict[str, list[int]](list)
        for memory, base in sorted({_key(place) for place in places}):
            self._bases[memory].append(base)
        nothing = np.zeros(len(Stage), dtype=np.int64)
        self.places = {_key(place): _Touched(None, nothing.copy()) for place in places}
        for index, known in program.known.items():
            step = program.steps[index]
            op = OPS[step.opcode]
            for access in (*op.reads(step.every, arch), *op.writes(step.every, arch)):
                self._touch(access, known)
            for access in op.writes(step.every, arch):
                self._write(access, known)

    def _find(self, access: Access) -> _Touched | None:
        """The place that holds the words of an access; scores and row factors have none."""
        bases = self._bases.get(access.memory.name)
        if bases is None:
            return None
        return self.places[access.memory.name, bases[bisect_right(bases, access.base) - 1]]

    def _touch(self, access: Access, known: Known) -> None:
        place = self._find(access)
        if place is not None:
            place.ends[access.stage] = known.end

    def _write(self, access: Access, known: Known) -> None:
        place = self._find(access)
        if place is not None and place.begins is None:
            place.begins = known.at(access.stage)[0]


def _key(place: Place) -> tuple[str, int]:
    return place.memory.name, place.base
