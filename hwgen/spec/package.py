"""The quantised model: integer arrays of one network, and the real value of their codes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.spec.arrays import Array, completed, held_arrays, range_fault, shape_fault
from hwgen.spec.graph_model import Model


class PackageError(ValueError):
    """A package that cannot be used; the message names the file or the tensor, and the limit."""


def arrays_sha256(config: Model, arrays: Mapping[str, Array]) -> str:
    """Digest of every array that a package holds, name by name."""
    digest = hashlib.sha256()
    for name in sorted(held_arrays(config, arrays)):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class QuantisedModel:
    """Integer arrays of one network, the real value of one code of each named tensor, and where it comes from.

    ``scales`` holds floats for reports only (``residual``, ``blocks.0.norm1``, ``heads.seg`` ...):
    real = (code - zero) * scale, with the zero point of `zeros` where the tensor has one. Optional arrays that are not
    given are zero.
    """

    config: Model
    arrays: Mapping[str, Array]
    scales: Mapping[str, float]
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """Refuse arrays that are missing, misshapen, of another type, or hold a value outside its range."""
        fault = shape_fault(self.config, self.arrays) or range_fault(self.config, self.arrays)
        if fault is not None:
            raise PackageError(f"{self.config.name}: {fault}")
        object.__setattr__(self, "arrays", completed(self.config, self.arrays))

    @property
    def zeros(self) -> dict[str, int]:
        """Tensor of hidden units -> code of the value 0."""
        points = (layer.zero_points() for layer in self.config.network.layers)
        return {tensor: int(self.arrays[name][0]) for found in points for tensor, name in found.items()}

    def sha256(self) -> str:
        """Digest of every array that the package holds, name by name."""
        return arrays_sha256(self.config, self.arrays)
