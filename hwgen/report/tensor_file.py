"""The tensors of a verification as one NumPy file, for other tools."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.report.verification import Verification
from hwgen.store.output_file import write_bytes

IMAGES = "images"


def tensor_arrays(found: Verification) -> dict[str, NDArray[Any]]:
    """Name -> array: ``images``, and of every tensor ``TASK/NAME/KIND`` with the kinds of `Tensor`.

    ``rtl``, ``golden`` (int64), ``written`` (bool), and where they exist ``float`` (float64), ``scale`` (a float64
    scalar) and ``zero`` (an int64 scalar, where it is not 0). All but these two begin with the number of images.
    """
    arrays: dict[str, NDArray[Any]] = {IMAGES: np.stack(found.images)}
    for tensor in found:
        place = f"{tensor.task}/{tensor.name}"
        arrays |= {f"{place}/{kind}": getattr(tensor, kind) for kind in ("rtl", "golden", "written")}
        if tensor.float is not None:
            arrays[f"{place}/float"] = tensor.float
        if tensor.scale is not None:
            arrays[f"{place}/scale"] = np.array(tensor.scale)
        if tensor.zero:
            arrays[f"{place}/zero"] = np.array(tensor.zero, dtype=np.int64)
    return arrays


def save_tensors(found: Verification, path: Path) -> None:
    """Write a compressed ``.npz`` that `numpy.load` reads; OSError names the file."""
    buffer = io.BytesIO()  # given a path, NumPy adds a suffix to it
    np.savez_compressed(buffer, allow_pickle=False, **tensor_arrays(found))
    write_bytes(path, buffer.getvalue())
