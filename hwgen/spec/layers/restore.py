"""Tokens that a selection has let go, back among the others: each as it was when it was last worked on."""

from collections.abc import Mapping
from dataclasses import dataclass

from hwgen.spec.array_kinds import Specs
from hwgen.spec.layers.layer import Count, Floats, Layer, Rows, Tensor


@dataclass(frozen=True, kw_only=True)
class Restore(Layer):
    """The stream as it was before a selection, with the rows that went on as they are now; a fused row is left out."""

    source: Rows  # the stream as it is now
    before: Rows  # the stream that the selection read
    kept: Rows  # positions of the rows that went on
    rows: Count  # of the stream before
    columns: Count

    def reads(self) -> tuple[Rows, ...]:
        """Both streams, and what went on of the first."""
        return (self.before, self.kept, self.source)

    def wants(self) -> Mapping[Rows, tuple[int, int]]:
        """All rows that were there; how many there are now, the selection says."""
        return {self.before: (self.rows, self.columns)}

    def tensors(self) -> tuple[Tensor, ...]:
        """All rows."""
        return (Tensor(name=self.writes, shape=(self.rows, self.columns)),)

    def arrays(self) -> Specs:
        """None: nothing is learned."""
        return {}

    def floats(self) -> Floats:
        """None."""
        return {}
