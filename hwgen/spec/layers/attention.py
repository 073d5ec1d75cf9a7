"""Softmax attention of every head."""

from collections.abc import Mapping
from dataclasses import dataclass

from hwgen.spec.array_kinds import BIAS, CONTEXT_SHIFT, ArraySpec, Specs, scale_arrays
from hwgen.spec.layers.layer import Count, Floats, Layer, Rows, Tensor, check_heads


@dataclass(frozen=True, kw_only=True)
class Attention(Layer):
    """Each query row takes the mean of the value rows, weighted by the softmax of its products with the key rows."""

    query: Rows
    key: Rows
    value: Rows
    scores: str  # tensor of every head's scores
    queries: Count
    keys: Count
    heads: Count
    columns: Count  # of all heads

    def __post_init__(self) -> None:
        """Refuse heads that do not divide the columns."""
        super().__post_init__()
        check_heads(self.name, self.columns, self.heads)

    def reads(self) -> tuple[Rows, ...]:
        """Queries, keys and values."""
        return (self.query, self.key, self.value)

    def wants(self) -> Mapping[Rows, tuple[int, int]]:
        """All heads, side by side."""
        keys = (self.keys, self.columns)
        return {self.query: (self.queries, self.columns), self.key: keys, self.value: keys}

    def tensors(self) -> tuple[Tensor, ...]:
        """Scores, and the weighted means."""
        return (
            Tensor(name=self.scores, shape=(self.heads, self.queries, self.keys)),
            Tensor(name=self.writes, shape=(self.queries, self.columns), heads=self.heads),
        )

    def arrays(self) -> Specs:
        """Bias and scale of every head's scores, one scale of the means."""
        return {
            f"{self.name}.scores.bias": ArraySpec((self.heads,), BIAS),
            **scale_arrays(f"{self.name}.scores", count=self.heads),
            **scale_arrays(f"{self.name}.context", shift=CONTEXT_SHIFT),
        }

    def floats(self) -> Floats:
        """None."""
        return {}
