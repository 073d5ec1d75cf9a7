"""The tokens that go on: those that the class token looks at most."""

from collections.abc import Mapping
from dataclasses import dataclass

from hwgen.spec.array_kinds import Specs
from hwgen.spec.layers.layer import Count, Floats, Layer, Rows, Tensor


@dataclass(frozen=True, kw_only=True)
class Select(Layer):
    """Leaves a shorter residual stream: the first rows, and of the others those of the largest importance, in order.

    The importance of a row is how much the first query of the attention before looks at its key, summed over heads.
    With ``fuse`` one row more comes last: the sum of those that do not go on, each by its importance.
    """

    source: Rows  # the whole stream
    scores: Rows  # of the attention before: its first query, which looks at every row of the stream
    rows: Count  # of the stream
    columns: Count
    heads: Count
    prefix: Count  # first rows, which always go on
    keep: Count  # of the others
    fuse: bool = False

    def __post_init__(self) -> None:
        """Refuse to keep more than there is, and to fuse nothing."""
        super().__post_init__()
        others = self.rows - self.prefix
        if not 1 <= self.keep <= others:
            raise ValueError(f"{self.name}: keeps {self.keep} of {others} rows behind the first {self.prefix}")
        if self.fuse and self.keep == others:
            raise ValueError(f"{self.name}: keeps all {others} rows, so that none is left to fuse; keep fewer")

    @property
    def left(self) -> int:
        """Rows that it leaves."""
        return self.prefix + self.keep + self.fuse

    @property
    def importance(self) -> str:
        """Tensor of the importance of every row that comes."""
        return f"{self.name}.importance"

    @property
    def kept(self) -> str:
        """Tensor of the rows that go on, by their positions in the stream that comes."""
        return f"{self.name}.kept"

    def reads(self) -> tuple[Rows, ...]:
        """The stream and the scores."""
        return (self.source, self.scores)

    def wants(self) -> Mapping[Rows, tuple[int, int]]:
        """A score a row."""
        return {self.source: (self.rows, self.columns), self.scores: (1, self.rows)}

    def tensors(self) -> tuple[Tensor, ...]:
        """Importances of all rows, the positions of those that go on, and their stream."""
        return (
            Tensor(name=self.importance, shape=(self.rows,)),
            Tensor(name=self.kept, shape=(self.prefix + self.keep,)),
            Tensor(name=self.writes, shape=(self.left, self.columns)),
        )

    def arrays(self) -> Specs:
        """None: nothing is learned."""
        return {}

    def floats(self) -> Floats:
        """None."""
        return {}
