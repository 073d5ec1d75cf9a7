"""Linear, and its finish."""

from golden.gate import gate
from golden.gelu import hidden
from golden.layers.forward import Forward
from golden.linear import add_residual
from golden.queues import expert_queues, queue_lengths
from golden.rounding import sat8, sat16
from hwgen.spec.layers import Codes, Gate, Gelu, Linear, Residual, Result
from hwgen.spec.tables import Int64Array


def run(forward: Forward, layer: Linear) -> None:
    """Sums, then what the finish says."""
    rows = forward.rows(layer.source).reshape(layer.rows, layer.inputs)
    sums = forward.linear(layer.name, rows)
    match layer.finish:
        case Codes():
            forward.tensors[layer.writes] = sat8(sums)
        case Gelu():
            scale = [forward.get(f"{layer.name}.{part}") for part in ("gelu_mult", "gelu_shift", "zero")]
            forward.tensors[layer.writes] = hidden(forward.table("gelu"), sat16(sums), *scale)
        case Residual():
            forward.tensors[layer.writes] = _added(forward, layer.finish, sums)
        case Gate():
            forward.tensors[layer.writes] = sat16(sums)
            _choose(forward, layer, layer.finish)
        case Result():
            forward.tensors[layer.writes] = sat16(sums)


def _added(forward: Forward, finish: Residual, sums: Int64Array) -> Int64Array:
    """The residual stream with ``sums`` added to some of its rows."""
    stream = forward.tensors[finish.into.tensor].copy()
    first, count = finish.into.first, len(sums)
    stream[first : first + count] = add_residual(stream[first : first + count], sums)
    return stream


def _choose(forward: Forward, layer: Linear, finish: Gate) -> None:
    """The experts of every token, their scores, and how many tokens each expert has."""
    logits, chosen, scores, lengths = (tensor.name for tensor in layer.tensors())
    tables = forward.table("gate_exp2"), forward.table("reciprocal")
    experts, score = gate(*tables, forward.tensors[logits], finish.top_k, renormalise=finish.renormalise)
    forward.tensors[chosen], forward.tensors[scores] = experts, score
    forward.tensors[lengths] = queue_lengths(expert_queues(experts, score, layer.outputs))
