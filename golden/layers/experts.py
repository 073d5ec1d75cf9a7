"""Experts: each over the tokens of its queue, in ascending order."""

from golden.gelu import hidden
from golden.layers.forward import Forward
from golden.linear import add_scored
from golden.queues import expert_queues
from golden.rounding import sat16
from hwgen.spec.layers import Experts


def run(forward: Forward, layer: Experts) -> None:
    """Both layers, times the score, into the residual stream."""
    gate = forward.network.writer(layer.gate.tensor, forward.task)
    _, chosen, scores, _ = (forward.tensors[tensor.name] for tensor in gate.tensors())
    rows, stream = forward.rows(layer.source), forward.tensors[layer.into.tensor].copy()
    first, second = layer.formats()
    scale = [forward.get(f"{first}.{part}") for part in ("gelu_mult", "gelu_shift", "zero")]
    for expert, queue in enumerate(expert_queues(chosen, scores, layer.experts)):
        sums = sat16(forward.linear(first, rows[queue.tokens], expert))
        inner = hidden(forward.table("gelu"), sums, *scale)
        update = forward.linear(second, inner, expert)
        stream[queue.tokens] = add_scored(stream[queue.tokens], update, queue.scores)
    forward.tensors[layer.writes] = stream
