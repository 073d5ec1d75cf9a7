"""Where the tensors of a task lie, from who writes and who reads them."""

from collections.abc import Iterator

from hwgen.compiler.lower import FACES
from hwgen.compiler.places import Lifetime, Place, placed
from hwgen.compiler.walk import Walk


def allocate(walk: Walk) -> dict[str, Place]:
    """Tensor -> place; whether the buffers are large enough is another question (`hwgen.compiler.fit`)."""
    return placed(list(_lifetimes(walk)), walk.arch)


def _lifetimes(walk: Walk) -> Iterator[Lifetime]:
    """Of everything that layers hold, in the order of the walk; what nobody reads is needed while it is written."""
    numbers = {layer.name: number for number, layer in enumerate(walk.layers)}
    for number, layer in enumerate(walk.layers):
        for held in FACES[type(layer)].holds(walk, layer):
            reads = [numbers[reader.name] for reader in walk.readers(held.tensor)]
            yield Lifetime(held=held, begins=number, ends=max([number, *reads]))
