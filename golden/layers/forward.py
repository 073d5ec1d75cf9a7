"""One image on its way through the layers of a network, on integers."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from golden.linear import linear
from golden.rounding import Integers
from hwgen.spec.graph import Network
from hwgen.spec.layers import Rows
from hwgen.spec.package import QuantisedModel
from hwgen.spec.tables import Int64Array


@dataclass
class Forward:
    """What the layers so far have left: every tensor by name, logical shapes."""

    package: QuantisedModel
    network: Network
    task: str
    image: NDArray[np.uint8]  # [height, width, channels]
    tensors: dict[str, Int64Array] = field(default_factory=dict[str, Int64Array])

    def get(self, name: str) -> Int64Array:
        """Package array ``name`` as int64."""
        return self.package.arrays[name].astype(np.int64)

    def table(self, name: str) -> Int64Array:
        """Function table ``name`` [words, 2]."""
        return self.get(f"tables.{name}")

    def rows(self, rows: Rows) -> Int64Array:
        """Rows of a tensor that a layer before has left."""
        end = None if rows.count is None else rows.first + rows.count
        return self.tensors[rows.tensor][rows.first : end]

    def linear(self, name: str, rows: Integers, expert: int | None = None) -> Int64Array:
        """Requantised linear layer ``name``, or expert ``expert`` of a stack of them; not saturated."""
        parts = [self.package.arrays[f"{name}.{part}"] for part in ("weight", "bias", "mult", "shift")]
        weight, bias, mult, shift = parts if expert is None else [part[expert] for part in parts]
        return linear(rows, weight, bias, mult, shift)
