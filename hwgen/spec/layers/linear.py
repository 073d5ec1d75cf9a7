"""A linear layer and what is done with its sums."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hwgen.spec.array_kinds import Specs, linear_arrays, scale_arrays
from hwgen.spec.layers.layer import Floats, Layer, Rows, Tensor
from hwgen.spec.weight_formats import DENSE8, WeightFormat

Part = Literal["patch_embed", "attention", "mlp", "gates", "experts", "heads"]  # of a network, as --weights names it


@dataclass(frozen=True, kw_only=True)
class Codes:
    """Sums become int8 codes."""

    heads: int | None = None  # of the tensor that it leaves


@dataclass(frozen=True, kw_only=True)
class Gelu:
    """Sums go through GELU and become int8 codes."""


@dataclass(frozen=True, kw_only=True)
class Residual:
    """Sums are added to rows of a residual stream; its other rows stay."""

    into: Rows
    rows: int  # of the stream


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Sums are the logits of experts, of which the best are chosen: experts, scores and queues follow."""

    block: str  # prefix of the tensors that follow
    top_k: int
    renormalise: bool


@dataclass(frozen=True, kw_only=True)
class Result:
    """Sums become int16 results of the network."""


Finish = Codes | Gelu | Residual | Gate | Result


@dataclass(frozen=True, kw_only=True)
class Linear(Layer):
    """Rows times weights plus bias, requantised channel by channel, then finished."""

    source: Rows
    rows: int
    inputs: int
    outputs: int
    finish: Finish
    part: Part
    role: str  # which of the layers of a block, or of a network, it is; messages name it
    bias: Literal["used", "unread", "none"] = "used"  # of the trained layer; unread: it changes no result
    format: WeightFormat = DENSE8

    def reads(self) -> tuple[Rows, ...]:
        """Its rows, and those that it is added to."""
        return (self.source, *((self.finish.into,) if isinstance(self.finish, Residual) else ()))

    def wants(self) -> Mapping[Rows, tuple[int, int]]:
        """Inputs; and outputs, where they are added."""
        added = {self.finish.into: (self.rows, self.outputs)} if isinstance(self.finish, Residual) else {}
        return {self.source: (self.rows, self.inputs)} | added

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

    def updates(self) -> Rows | None:
        """The rows that it is added to."""
        return self.finish.into if isinstance(self.finish, Residual) else None

    def arrays(self) -> Specs:
        """Weights, and bias, multiplier and shift of every channel; behind GELU one more scale."""
        specs = linear_arrays(self.name, self.outputs, self.inputs, self.format)
        return specs | (scale_arrays(self.name, "gelu_") if isinstance(self.finish, Gelu) else {})

    def floats(self) -> Floats:
        """Weights [out, in]; and a bias, unless it was trained without one."""
        bias: Floats = {} if self.bias == "none" else {f"{self.name}.bias": (self.outputs,)}
        return {f"{self.name}.weight": (self.outputs, self.inputs)} | bias
