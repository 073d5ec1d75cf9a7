"""Where the cycles of a program go: by branch of the residual stream, and by kind of layer.

A branch is everything between two changes of the residual stream, called as the tensor that it leaves
(``blocks.0.attention``, ``blocks.1.moe``); what follows the last one is the result. Units overlap: a cycle belongs to
the instruction that ends next, so that the shares add up to the whole run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hwgen.compiler.step import Step
from hwgen.estimator.machine import Interval
from hwgen.spec.graph import Network
from hwgen.spec.layers import Layer, Linear


@dataclass(frozen=True, kw_only=True)
class Share:
    """The layers of one kind in a branch."""

    name: str  # of the branch
    kind: str  # of linear layers which part of a network they are (attention, mlp, heads ..), of others what they are
    cycles: int
    share: float  # of the run, 0..1
    macs: int


def kind_of(layer: Layer) -> str:
    """What a layer is, in a word."""
    return layer.part if isinstance(layer, Linear) else type(layer).__name__.lower()


def branches(network: Network, task: str) -> dict[str, str]:
    """Tensor -> branch that it belongs to, on the walk of a task."""
    found: dict[str, str] = {}
    since: list[str] = []  # tensors that no branch has yet
    result = network.result(task)
    for layer in network.walk(task):
        since += [tensor.name for tensor in layer.tensors()]
        if layer.updates() is not None or layer is result:
            found |= dict.fromkeys(since, layer.writes)
            since = []
    return found | dict.fromkeys(since, result.writes)


def shares(network: Network, task: str, steps: Sequence[Step], times: Sequence[Interval], cycles: int) -> list[Share]:
    """Cycles and multiplications of every branch and kind, in the order in which they begin to end.

    The image is loaded for the first of them, and the result is stored for the last.
    """
    branch = branches(network, task)
    ends = [
        (time.end_cycle, index, step.produced[0].tensor)
        for index, (step, time) in enumerate(zip(steps, times, strict=True))
        if step.produced
    ]
    spent: dict[tuple[str, str], tuple[int, int]] = {}
    before = 0
    for number, (end, index, tensor) in enumerate(sorted(ends), start=1):
        now = cycles if number == len(ends) else end
        key = branch[tensor], kind_of(network.writer(tensor, task))
        passed, macs = spent.get(key, (0, 0))
        spent[key] = passed + now - before, macs + steps[index].macs
        before = now
    return [
        Share(name=name, kind=kind, cycles=passed, share=passed / cycles, macs=macs)
        for (name, kind), (passed, macs) in spent.items()
    ]
