"""The position table: the first rows of the residual stream, the class token's included."""

from collections.abc import Mapping
from dataclasses import dataclass

from hwgen.spec.array_kinds import POSITION, ArraySpec, Specs
from hwgen.spec.layers.layer import Floats, Layer, Rows, Tensor


@dataclass(frozen=True, kw_only=True)
class Position(Layer):
    """Starts a residual stream: row r is entry r of the table."""

    rows: int
    columns: int

    def reads(self) -> tuple[Rows, ...]:
        """Nothing: it comes from memory."""
        return ()

    def wants(self) -> Mapping[Rows, tuple[int, int]]:
        """Nothing is read."""
        return {}

    def tensors(self) -> tuple[Tensor, ...]:
        """The residual stream before anything is added."""
        return (Tensor(name=self.writes, shape=(self.rows, self.columns)),)

    def arrays(self) -> Specs:
        """The table itself."""
        return {self.name: ArraySpec((self.rows, self.columns), POSITION)}

    def floats(self) -> Floats:
        """The class token, which row 0 holds, too, and the table."""
        return {"class_token": (self.columns,), self.name: (self.rows, self.columns)}
