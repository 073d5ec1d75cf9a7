"""One image on its way through the layers of a network, in float64."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.reference.functions import FloatArray
from hwgen.spec.graph import Network
from hwgen.spec.layers import Rows


@dataclass
class Forward:
    """What the layers so far have left: every tensor by name."""

    arrays: Mapping[str, FloatArray]
    network: Network
    task: str
    image: NDArray[np.uint8]  # [height, width, channels]
    details: bool  # also keep what calibration needs inside a mixture of experts
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])
    # scores -> how much the first query looks at every key, the mean over heads
    looked: dict[str, FloatArray] = field(default_factory=dict[str, FloatArray])
    # `Select.kept` -> the rows that go on, where others have chosen them
    chosen: Mapping[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])

    def rows(self, rows: Rows) -> FloatArray:
        """Rows of a tensor that a layer before has left."""
        end = None if rows.count is None else rows.first + rows.count
        return self.tensors[rows.tensor][rows.first : end]
