"""What a list of layers must keep because there is one set of token queues."""

from collections.abc import Iterator

from hwgen.compiler.walk import Walk
from hwgen.spec.layers import Experts, Gate, Linear


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
