"""What a list of layers must keep because of the order of the machine (docs/architecture.md, "Dependences").

Units work at once, and instructions wait for what they read, not for who still reads what they write. Within these
rules nothing is written over before it is read; a list outside them is refused.
"""

from collections.abc import Iterator

from hwgen.compiler.walk import Walk
from hwgen.spec.layers import Experts, Gate, Layer, Linear, Norm, Patches, Position

_LOADED = (Position, Patches)


def order_faults(walk: Walk) -> Iterator[str]:
    """A sentence for each layer that the machine would run too early."""
    yield from _loads_come_first(walk)
    yield from _norms_are_read_first(walk)
    yield from gates_in_turn(walk)


def _loads_come_first(walk: Walk) -> Iterator[str]:
    """IO loads at once and waits for nobody."""
    first = next((layer for layer in walk.layers if not isinstance(layer, _LOADED)), None)
    behind = walk.layers[walk.layers.index(first) :] if first is not None else ()
    for layer in behind:
        if isinstance(layer, _LOADED):
            assert first is not None
            yield f"{layer.name}: is loaded at the start; put it before {first.name}"


def _norms_are_read_first(walk: Walk) -> Iterator[str]:
    """A residual stream is changed only by what depends on every LayerNorm of it, so that their rows are made before.

    Row by row that holds only when the layer changes the rows that it depends on.
    """
    for layer in walk.layers:
        into = layer.updates()
        if into is None:
            continue
        norms = {norm.name for norm in walk.readers(into.tensor) if isinstance(norm, Norm)}
        for name in sorted(norms - _ancestors(walk, layer)):
            yield f"{layer.name}: changes {into.tensor} and does not depend on {name}, which may not have read it yet"


def _ancestors(walk: Walk, layer: Layer) -> set[str]:
    """Names of the layers that a layer depends on, whatever it updates left out."""
    found: set[str] = set()
    into = layer.updates()
    ahead = [rows.tensor for rows in layer.reads() if rows != into]
    while ahead:
        writer = walk.writer(ahead.pop())
        if writer.name not in found:
            found.add(writer.name)
            ahead += [rows.tensor for rows in writer.reads() if rows != writer.updates()]
    return found


def gates_in_turn(walk: Walk) -> Iterator[str]:
    """There is one set of queues: a gate fills it, and the experts behind it empty it."""
    last: Linear | None = None
    for layer in walk.layers:
        if isinstance(layer, Linear) and isinstance(layer.finish, Gate):
            if last is not None:
                yield f"{layer.name}: fills the queues before the experts of {last.name} have emptied them"
            last = layer
        elif isinstance(layer, Experts):
            if last is None or last.writes != layer.gate.tensor:
                yield f"{layer.name}: takes {layer.gate.tensor}, which is not what the queues hold then"
            last = None
