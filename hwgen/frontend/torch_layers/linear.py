"""Linear, and its finish."""

# pyright: basic
# (torch is only partly typed)

import torch
from torch import Tensor
from torch.nn import functional

from hwgen.frontend.torch_layers.activations import ACTIVATIONS
from hwgen.frontend.torch_layers.forward import Forward
from hwgen.frontend.torch_layers.gate import choose
from hwgen.spec.layers import Gate, Gelu, Linear, Residual


def run(forward: Forward, layer: Linear) -> None:
    """Sums, then what the finish says; biases that change no result are added, too, as in any trained layer."""
    weight, bias = (forward.arrays.get(f"{layer.name}.{part}") for part in ("weight", "bias"))
    assert weight is not None
    rows = forward.rows(layer.source).reshape(-1, layer.rows, layer.inputs)
    sums = functional.linear(rows, weight, bias)
    finish = layer.finish
    if isinstance(finish, Gelu):
        sums = ACTIVATIONS[finish.function](sums)
    elif isinstance(finish, Residual):
        sums = _added(forward, finish, sums)
    forward.tensors[layer.writes] = sums
    if isinstance(finish, Gate):
        choose(forward, layer, finish)


def _added(forward: Forward, finish: Residual, sums: Tensor) -> Tensor:
    """The residual stream with ``sums`` added to some of its rows."""
    stream, first = forward.tensors[finish.into.tensor], finish.into.first
    before, rows, after = stream.split([first, sums.shape[1], stream.shape[1] - first - sums.shape[1]], dim=1)
    return torch.cat([before, rows + sums, after], dim=1)
