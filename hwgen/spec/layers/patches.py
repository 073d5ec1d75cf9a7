"""Patches: the image cut into squares, one row of pixels each."""

from collections.abc import Mapping
from dataclasses import dataclass

from hwgen.spec.array_kinds import Specs
from hwgen.spec.layers.layer import Count, Floats, Layer, Rows, Tensor

_LANE, _BEAT = 8, 16  # pixels that the machine writes together, and that it reads together


@dataclass(frozen=True, kw_only=True)
class Patches(Layer):
    """Row r holds the pixels of patch r, minus 128, in the order (channel, y, x)."""

    height: Count  # of the image, pixels
    width: Count
    channels: Count
    patch: Count  # side

    def __post_init__(self) -> None:
        """Refuse images that are not cut into whole patches."""
        super().__post_init__()
        if self.height % self.patch or self.width % self.patch:
            raise ValueError(f"{self.name}: image {self.height}x{self.width} is not a multiple of patch {self.patch}")

    @property
    def rows(self) -> int:
        """Patches."""
        return (self.height // self.patch) * (self.width // self.patch)

    @property
    def side(self) -> int:
        """Pixels of a side as the machine gathers it; the host pads every patch to that (`hwgen.spec.layout`).

        Whole lanes of a beat, and rows of the image in whole beats.
        """
        small = self.patch <= _LANE and self.width // self.patch % 2 == 0
        return _LANE if small else -(-self.patch // _BEAT) * _BEAT

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
        squares = None if self.side == self.patch else (self.patch, self.side)
        return (Tensor(name=self.writes, shape=(self.rows, self.columns), squares=squares),)

    def arrays(self) -> Specs:
        """None."""
        return {}

    def floats(self) -> Floats:
        """None."""
        return {}
