"""The functions that may follow the first layer of an MLP: each is ReLU minus a delta that is even in its argument.

The machine computes ``relu(z) - delta(|z|)``, with delta from a table (docs/numerics.md): which function it is, is the
contents of that table. A network has one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hwgen.spec.shown import shown

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "silu", "hardswish"]


@dataclass(frozen=True, kw_only=True)
class ActivationInfo:
    """One function: its formula for documents, and relu(x) - f(x) for x >= 0, which is the same at -x.

    ``stretch``: the table must reach ``2^stretch`` times as far as that of GELU before delta is negligible.
    """

    formula: str
    delta: Callable[[float], float]
    stretch: int = 0


def _sigmoid_delta(slope: float) -> Callable[[float], float]:
    """Of x / (1 + exp(-slope x))."""
    return lambda x: x / (1.0 + math.exp(slope * x))


def _gelu_delta(x: float) -> float:
    return x * 0.5 * math.erfc(x / math.sqrt(2.0))


def _gelu_tanh_delta(x: float) -> float:
    return x * 0.5 * (1.0 - math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def _hardswish_delta(x: float) -> float:
    return x * max(3.0 - x, 0.0) / 6.0


def check_activation(name: str, function: object) -> None:
    """ValueError unless layer or network ``name`` asks for a function that there is."""
    if function not in FUNCTIONS:
        raise ValueError(f"{name}: unknown function {shown(function)}; there are {', '.join(FUNCTIONS)}")


FUNCTIONS: dict[str, ActivationInfo] = {
    "gelu": ActivationInfo(formula="x Phi(x), with the error function", delta=_gelu_delta),
    "gelu_tanh": ActivationInfo(formula="x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2", delta=_gelu_tanh_delta),
    "quick_gelu": ActivationInfo(formula="x / (1 + exp(-1.702 x))", delta=_sigmoid_delta(1.702)),
    "relu": ActivationInfo(formula="max(x, 0)", delta=lambda _: 0.0),
    "silu": ActivationInfo(formula="x / (1 + exp(-x))", delta=_sigmoid_delta(1.0), stretch=1),
    "hardswish": ActivationInfo(formula="x min(max(x + 3, 0), 6) / 6", delta=_hardswish_delta),
}
