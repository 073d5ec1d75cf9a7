"""The mean of rows: one row for a head that looks at all tokens."""

from collections.abc import Mapping
from dataclasses import dataclass

from hwgen.spec.array_kinds import CONTEXT_SHIFT, Specs, scale_arrays
from hwgen.spec.layers.layer import Count, Floats, Layer, Rows, Tensor


@dataclass(frozen=True, kw_only=True)
class Pool(Layer):
    """Weighs its rows alike, as attention does whose scores are all zero, and leaves one row."""

    source: Rows
    rows: Count  # that it reads
    columns: Count
    values: str  # tensor of its rows as attention's values
    scores: str  # tensor of the scores, all of them zero

    def reads(self) -> tuple[Rows, ...]:
        """The rows of which it takes the mean."""
        return (self.source,)

    def wants(self) -> Mapping[Rows, tuple[int, int]]:
        """All columns at once."""
        return {self.source: (self.rows, self.columns)}

    def tensors(self) -> tuple[Tensor, ...]:
        """Values, scores, and the mean."""
        return (
            Tensor(name=self.values, shape=(self.rows, self.columns)),
            Tensor(name=self.scores, shape=(1, 1, self.rows)),
            Tensor(name=self.writes, shape=(1, self.columns)),
        )

    def arrays(self) -> Specs:
        """The scale of the mean, which is finer than that of the rows."""
        return scale_arrays(f"{self.name}.context", shift=CONTEXT_SHIFT)

    def floats(self) -> Floats:
        """None: nothing is learned."""
        return {}
