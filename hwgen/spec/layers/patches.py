"""Patches: the image cut into squares, one row of pixels each."""

from collections.abc import Mapping
from dataclasses import dataclass

from hwgen.spec.array_kinds import Specs
from hwgen.spec.layers.layer import Floats, Layer, Rows, Tensor


@dataclass(frozen=True, kw_only=True)
class Patches(Layer):
    """Row r holds the pixels of patch r, minus 128, in the order (channel, y, x)."""

    height: int  # of the image, pixels
    width: int
    channels: int
    patch: int  # side

    @property
    def rows(self) -> int:
        """Patches."""
        return (self.height // self.patch) * (self.width // self.patch)

    @property
    def columns(self) -> int:
        """Pixel values of one patch."""
        return self.channels * self.patch * self.patch

    def reads(self) -> tuple[Rows, ...]:
        """Nothing but the image."""
        return ()

    def wants(self) -> Mapping[Rows, tuple[int, int]]:
        """Nothing is read."""
        return {}

    def tensors(self) -> tuple[Tensor, ...]:
        """One row a patch."""
        return (Tensor(name=self.writes, shape=(self.rows, self.columns)),)

    def arrays(self) -> Specs:
        """None."""
        return {}

    def floats(self) -> Floats:
        """None."""
        return {}
