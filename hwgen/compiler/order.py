"""What a list of layers must keep because of the order of the machine (docs/architecture.md, "Dependences").

Units work at once, and instructions wait for what they read, not for who still reads what they write. Within these
rules nothing is written over before it is read; a list outside them is refused.
"""

from collections.abc import Iterator

from hwgen.compiler.walk import Walk
from hwgen.spec.layers import Attention, Experts, Gate, Layer, Linear, Norm, Patches, Pool, Position, Rows

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
    tables = [layer.name for layer in walk.layers if isinstance(layer, Position)]
    if len(tables) != 1:
        yield f"task {walk.task}: {len(tables)} position tables ({', '.join(tables)}); a task has one residual stream"


def _norms_are_read_first(walk: Walk) -> Iterator[str]:
    """A residual stream is changed only where every LayerNorm of it has read it before."""
    numbers = {layer.name: number for number, layer in enumerate(walk.layers)}
    for layer in walk.layers:
        into = layer.updates()
        if into is None:
            continue
        for norm in walk.readers(into.tensor):
            if isinstance(norm, Norm) and not _has_read(walk, norm, layer, into, numbers):
                yield (
                    f"{layer.name}: may change rows of {into.tensor} before {norm.name} has read them; let it depend on"
                    f" those rows of {norm.name}"
                )


def _has_read(walk: Walk, norm: Norm, layer: Layer, into: Rows, numbers: dict[str, int]) -> bool:
    """Whether every row that a layer changes depends on the row of ``norm`` that was made of it, or on a later one."""
    if into.first >= norm.source.first + norm.rows:
        return True  # it reads none of them
    implied = [_implied(walk, norm, read, whole, numbers) for read, whole in _needs(layer, changes=True)]
    enough = into.first - norm.source.first
    return any(
        (shift is not None and shift >= enough) or (reached is not None and reached >= norm.rows - 1)
        for shift, reached in implied
    )


Implied = tuple[int | None, int | None]


def _implied(walk: Walk, norm: Norm, read: Rows, whole: bool, numbers: dict[str, int]) -> Implied:
    """What rows that are read say of the rows of ``norm``: row k is there with row k + shift of norm; or, when all of
    them are waited for, row ``reached`` of norm is. None where nothing follows.
    """
    writer = walk.writer(read.tensor)
    if numbers[writer.name] < numbers[norm.name]:
        return None, None
    count = read.count or walk.tensors[read.tensor].rows - read.first
    if writer is norm:
        return (None, read.first + count - 1) if whole else (read.first, None)
    into = writer.updates()
    start = 0 if into is None else into.first  # row of the tensor that is the writer's first
    shift, reached = None, None
    for source, complete in _needs(writer, changes=False):
        below, there = _implied(walk, norm, source, complete, numbers)
        if there is not None:
            reached = max(there, reached if reached is not None else there)
        if below is not None:
            moved = below + read.first - start
            if whole:
                row = moved + count - 1
                reached = max(row, reached if reached is not None else row)
            elif read.first >= start:  # rows before the first that the writer changes say nothing of it
                shift = max(moved, shift if shift is not None else moved)
    return shift, reached


def _needs(layer: Layer, *, changes: bool) -> Iterator[tuple[Rows, bool]]:
    """What an instruction reads, and whether it waits for all of it before its first row."""
    if isinstance(layer, Attention):
        yield from ((layer.query, False), (layer.key, True), (layer.value, True))
    elif isinstance(layer, Experts):
        yield from ((layer.source, True), (layer.gate, True))
    else:
        into = layer.updates()
        yield from ((rows, isinstance(layer, Pool)) for rows in layer.reads() if rows != into or not changes)


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
            elif last.source != layer.source:
                yield f"{layer.name}: waits for the gate alone; give it the rows of {last.name}, {last.source.tensor}"
            last = None
