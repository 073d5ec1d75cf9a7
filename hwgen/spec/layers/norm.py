"""LayerNorm of rows of a residual stream, or its gain and offset alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from hwgen.spec.array_kinds import GAIN, NORM_SHIFT, OFFSET, ArraySpec, Specs
from hwgen.spec.layers.layer import EPSILON, Count, Epsilon, Floats, Layer, Rows, Tensor


@dataclass(frozen=True, kw_only=True)
class Norm(Layer):
    """Normalises every row on its own, unless it is plain; gain and offset of every column: int16 to int8."""

    source: Rows
    rows: Count
    columns: Count
    epsilon: Epsilon = EPSILON  # of the float model, added to the variance; the machine needs none
    plain: bool = False  # gain and offset are of the values as they are: no mean, no deviation

    def reads(self) -> tuple[Rows, ...]:
        """The residual stream."""
        return (self.source,)

    def wants(self) -> Mapping[Rows, tuple[int, int]]:
        """One gain a column."""
        return {self.source: (self.rows, self.columns)}

    def tensors(self) -> tuple[Tensor, ...]:
        """As many rows as it reads."""
        return (Tensor(name=self.writes, shape=(self.rows, self.columns)),)

    def arrays(self) -> Specs:
        """A gain and an offset a channel, one shift."""
        return {
            f"{self.name}.gain": ArraySpec((self.columns,), GAIN),
            f"{self.name}.offset": ArraySpec((self.columns,), OFFSET),
            f"{self.name}.shift": ArraySpec((1,), NORM_SHIFT),
        }

    def floats(self) -> Floats:
        """A weight and a bias a channel."""
        return {f"{self.name}.weight": (self.columns,), f"{self.name}.bias": (self.columns,)}
