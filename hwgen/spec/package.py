"""The quantised model: integer arrays of one network, and the real value of their codes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.spec.arrays import Array, package_arrays, range_fault, shape_fault
from hwgen.spec.graph_model import Model


class PackageError(ValueError):
    """A package that cannot be used; the message names the file or the tensor, and the limit."""


def arrays_sha256(config: Model, arrays: Mapping[str, Array]) -> str:
    """Digest of every array of a network, name by name."""
    digest = hashlib.sha256()
    for name in sorted(package_arrays(config)):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class QuantisedModel:
    """Integer arrays of one network, the real value of one code of each named tensor, and where it comes from.

    ``scales`` holds floats for reports only (``residual``, ``blocks.0.norm1``, ``heads.seg`` ...): real = code * scale.
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

    def sha256(self) -> str:
        """Digest of every array, name by name."""
        return arrays_sha256(self.config, self.arrays)
