"""Where the tensors of a task lie, from who writes and who reads them."""

from collections.abc import Iterator

from hwgen.compiler.lower import FACES
from hwgen.compiler.places import Lifetime, Place, placed
from hwgen.compiler.walk import Walk
from hwgen.spec.buffers import NORM
from hwgen.spec.layers import Experts, Layer


def allocate(walk: Walk) -> dict[str, Place]:
    """Tensor -> place; whether the buffers are large enough is another question (`hwgen.compiler.fit`)."""
    return placed(list(_lifetimes(walk)), walk.arch)


def _lifetimes(walk: Walk) -> Iterator[Lifetime]:
    """Of everything that layers hold, in the order of the walk; what nobody reads is needed while it is written."""
    numbers = {layer.name: number for number, layer in enumerate(walk.layers)}
    for number, layer in enumerate(walk.layers):
        for held in FACES[type(layer)].holds(walk, layer):
            reads = [numbers[reader.name] for reader in walk.readers(held.tensor)]
            begins = number if held.memory is not NORM else _ready(walk, layer, numbers)
            yield Lifetime(held=held, begins=begins, ends=max([number, *reads]))


def _ready(walk: Walk, layer: Layer, numbers: dict[str, int]) -> int:
    """When the first row of a LayerNorm may be written: it waits for the rows of its source, and for nobody else.

    So what is read after that row was last changed is still there; so is what the changing layer itself reads row by
    row. EXPERTS has read everything when it counts its rows. A layer that changes later rows only says nothing of the
    first one: the one before it counts.
    """
    (source,) = layer.reads()
    changed = walk.writer(source.tensor)
    while (into := changed.updates()) is not None and into.first > source.first:
        changed = walk.writer(into.tensor)
    return numbers[changed.name] + isinstance(changed, Experts)
