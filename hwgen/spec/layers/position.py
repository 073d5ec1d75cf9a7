"""The position table: the first rows of the residual stream, the class token's included where there is one."""

from collections.abc import Mapping
from dataclasses import dataclass

from hwgen.spec.array_kinds import POSITION, ArraySpec, Specs
from hwgen.spec.layers.layer import Count, Floats, Layer, Rows, Tensor

CLASS_TOKEN = "class_token"  # array of a float model that is added to row 0


@dataclass(frozen=True, kw_only=True)
class Position(Layer):
    """Starts a residual stream: row r is entry r of the table."""

    rows: Count
    columns: Count
    class_token: bool = True  # row 0 is that of the class token, which is added to it before the network is quantised

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
        """The class token, which row 0 holds, too, where there is one; and the table."""
        token: Floats = {CLASS_TOKEN: (self.columns,)} if self.class_token else {}
        return token | {self.name: (self.rows, self.columns)}
