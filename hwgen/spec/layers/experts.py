"""A mixture of experts: two-layer networks, each for the tokens that the gate has sent to it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Self

from hwgen.spec.activations import Activation, check_activation
from hwgen.spec.array_kinds import Specs, hidden_arrays, linear_arrays, zero_array
from hwgen.spec.layers.layer import Count, Floats, Layer, Rows, Tensor
from hwgen.spec.weight_formats import DENSE8, PACKED4, WeightFormat


@dataclass(frozen=True, kw_only=True)
class Experts(Layer):
    """Every token of an expert's queue goes through its two layers; the result, times its score, joins the residual."""

    source: Rows
    gate: Rows  # logits: the queues follow from them
    into: Rows
    rows: Count
    columns: Count
    hidden: Count
    experts: Count
    top_k: Count
    observed: tuple[str, str]  # names for hidden units and outputs before the score, of each of a token's experts
    codes: str  # name of the hidden units as int8 codes, all experts together: they have one scale
    activation: Activation = "gelu"  # between the two layers
    first: WeightFormat = DENSE8
    second: WeightFormat = DENSE8

    def __post_init__(self) -> None:
        """Refuse functions that do not exist."""
        super().__post_init__()
        check_activation(self.name, self.activation)

    def reads(self) -> tuple[Rows, ...]:
        """Tokens, the gate's choice, and the residual stream."""
        return (self.source, self.gate, self.into)

    def wants(self) -> Mapping[Rows, tuple[int, int]]:
        """Tokens, logits, residual stream."""
        return {
            self.source: (self.rows, self.columns),
            self.gate: (self.rows, self.experts),
            self.into: (self.rows, self.columns),
        }

    def tensors(self) -> tuple[Tensor, ...]:
        """The residual stream with every expert's share."""
        return (Tensor(name=self.writes, shape=(self.rows, self.columns)),)

    def with_formats(self, narrow: Collection[str]) -> Self:
        """Each of its two layers by name."""
        first, second = (PACKED4 if name in narrow else DENSE8 for name in self.formats())
        return replace(self, first=first, second=second)

    def updates(self) -> Rows:
        """Every row of the residual stream."""
        return self.into

    def inner(self) -> tuple[str, ...]:
        """Hidden units, and what a float model keeps of them."""
        return (self.codes, *self.observed)

    def formats(self) -> dict[str, WeightFormat]:
        """Prefix of the arrays of its two layers -> format of the weights."""
        return {f"{self.name}.fc1": self.first, f"{self.name}.fc2": self.second}

    def zero_points(self) -> Mapping[str, str]:
        """Of the hidden units of all experts."""
        return {self.codes: zero_array(next(iter(self.formats())))}

    def arrays(self) -> Specs:
        """Two stacks of linear layers, and the scale and the zero point behind GELU."""
        stack = (self.experts,)
        return {
            **linear_arrays(f"{self.name}.fc1", self.hidden, self.columns, self.first, stack),
            **hidden_arrays(f"{self.name}.fc1"),
            **linear_arrays(f"{self.name}.fc2", self.columns, self.hidden, self.second, stack),
        }

    def floats(self) -> Floats:
        """Two stacks of weights [experts, out, in] and biases."""
        found: Floats = {}
        widths = ((self.columns, self.hidden), (self.hidden, self.columns))
        for name, (inputs, outputs) in zip(self.formats(), widths, strict=True):
            found |= {f"{name}.weight": (self.experts, outputs, inputs), f"{name}.bias": (self.experts, outputs)}
        return found
