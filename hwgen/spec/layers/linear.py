"""A linear layer and what is done with its sums."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

from hwgen.spec.activations import Activation, check_activation
from hwgen.spec.array_kinds import Specs, hidden_arrays, linear_arrays, zero_array
from hwgen.spec.layers.layer import Count, Floats, Layer, Rows, Tensor, check_heads
from hwgen.spec.weight_formats import DENSE8, PACKED4, WeightFormat

Part = Literal["patch_embed", "attention", "mlp", "gates", "experts", "heads"]  # of a network, as --weights names it


@dataclass(frozen=True, kw_only=True)
class Codes:
    """Sums become int8 codes."""

    heads: int | None = None  # of the tensor that it leaves


@dataclass(frozen=True, kw_only=True)
class Gelu:
    """Sums go through GELU, or another function by other contents of its table, and become int8 codes."""

    function: Activation = "gelu"


@dataclass(frozen=True, kw_only=True)
class Residual:
    """Sums are added to rows of a residual stream; its other rows stay."""

    into: Rows
    rows: Count  # of the stream


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Sums are the logits of experts, of which the best are chosen: experts, scores and queues follow."""

    block: str  # prefix of the tensors that follow
    top_k: Count
    renormalise: bool = False  # scores of the chosen experts rescaled to sum to one


@dataclass(frozen=True, kw_only=True)
class Result:
    """Sums become int16 results of the network."""


Finish = Codes | Gelu | Residual | Gate | Result


@dataclass(frozen=True, kw_only=True)
class Linear(Layer):
    """Rows times weights plus bias, requantised channel by channel, then finished."""

    source: Rows
    rows: Count
    inputs: Count
    outputs: Count
    finish: Finish
    part: Part
    bias: Literal["used", "unread", "none"] = "used"  # of the trained layer; unread: it changes no result
    beside: Count = 1  # rows of the source that lie side by side as one row of inputs
    format: WeightFormat = DENSE8

    def __post_init__(self) -> None:
        """Refuse heads that do not divide the outputs, gates that choose too many experts, and unknown functions."""
        super().__post_init__()
        if isinstance(self.finish, Gelu):
            check_activation(self.name, self.finish.function)
        if isinstance(self.finish, Codes):
            check_heads(self.name, self.outputs, self.finish.heads)
        if isinstance(self.finish, Gate) and not 1 <= self.finish.top_k <= self.outputs:
            raise ValueError(f"{self.name}: top_k {self.finish.top_k} must be in 1..experts ({self.outputs})")
        if self.beside > 1 and (self.rows > 1 or self.inputs % self.beside):
            raise ValueError(
                f"{self.name}: {self.beside} rows side by side make one row of as many equal parts, not {self.rows} of"
                f" {self.inputs} inputs"
            )

    def reads(self) -> tuple[Rows, ...]:
        """Its rows, and those that it is added to."""
        return (self.source, *((self.finish.into,) if isinstance(self.finish, Residual) else ()))

    def wants(self) -> Mapping[Rows, tuple[int, int]]:
        """Inputs; and outputs, where they are added."""
        added = {self.finish.into: (self.rows, self.outputs)} if isinstance(self.finish, Residual) else {}
        return {self.source: (self.rows * self.beside, self.inputs // self.beside)} | added

    def tensors(self) -> tuple[Tensor, ...]:
        """Its rows; with a gate, also what was chosen."""
        finish, shape = self.finish, (self.rows, self.outputs)
        if isinstance(finish, Residual):
            return (Tensor(name=self.writes, shape=(finish.rows, self.outputs)),)
        heads = finish.heads if isinstance(finish, Codes) else None
        written = Tensor(name=self.writes, shape=shape, heads=heads)
        if not isinstance(finish, Gate):
            return (written,)
        chosen = (self.rows, finish.top_k)
        return (
            written,
            Tensor(name=f"{finish.block}.experts", shape=chosen),
            Tensor(name=f"{finish.block}.expert_scores", shape=chosen),
            Tensor(name=f"{finish.block}.queue_lengths", shape=(self.outputs,)),
        )

    def with_formats(self, narrow: Collection[str]) -> Self:
        """Narrow when it is named."""
        return replace(self, format=PACKED4 if self.name in narrow else DENSE8)

    def updates(self) -> Rows | None:
        """The rows that it is added to."""
        return self.finish.into if isinstance(self.finish, Residual) else None

    def zero_points(self) -> Mapping[str, str]:
        """Of hidden units."""
        return {self.writes: zero_array(self.name)} if isinstance(self.finish, Gelu) else {}

    def arrays(self) -> Specs:
        """Weights, and bias, multiplier and shift of every channel; behind GELU one more scale and a zero point."""
        specs = linear_arrays(self.name, self.outputs, self.inputs, self.format)
        return specs | (hidden_arrays(self.name) if isinstance(self.finish, Gelu) else {})

    def floats(self) -> Floats:
        """Weights [out, in]; and a bias, unless it was trained without one."""
        bias: Floats = {} if self.bias == "none" else {f"{self.name}.bias": (self.outputs,)}
        return {f"{self.name}.weight": (self.outputs, self.inputs)} | bias
