"""The arrays of a package: those of the network's layers, and the function tables.

Within their ranges no sum overflows (docs/numerics.md) and the RTL equals golden. `range_fault` finds a value outside.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.array_kinds import ArrayKind, ArraySpec, Specs
from hwgen.spec.graph_model import Model
from hwgen.spec.tables import TABLES, Int64Array, TableInfo, chord_ends

Array = NDArray[Any]
_AGAIN = "quantise or import the network again"


def package_arrays(config: Model) -> Specs:
    """Name -> shape, type and range of every array that a package of this network holds."""
    own = {name: spec for name, spec in config.network.arrays.items() if not spec.optional}
    return own | {f"tables.{table.name}": ArraySpec((table.words, 2), table) for table in TABLES}


def optional_arrays(config: Model) -> Specs:
    """The same of the arrays that it may leave out, which are then zero."""
    return {name: spec for name, spec in config.network.arrays.items() if spec.optional}


def held_arrays(config: Model, arrays: Mapping[str, Array]) -> tuple[str, ...]:
    """Names of the arrays that a package holds: an optional one only where it is not zero."""
    return (*package_arrays(config), *(name for name in optional_arrays(config) if np.any(arrays.get(name, 0))))


def completed(config: Model, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """``arrays`` with those that were left out."""
    absent = {name: spec for name, spec in optional_arrays(config).items() if name not in arrays}
    return {**arrays, **{name: np.zeros(spec.shape, dtype=spec.dtype) for name, spec in absent.items()}}


def shape_fault(config: Model, arrays: Mapping[str, Array]) -> str | None:
    """What is wrong with the first array that is missing or has another shape or type; None when all are there."""
    for name, spec in _every(config).items():
        if name not in arrays:
            if spec.optional:
                continue
            return f"array {name!r} is missing"
        found = arrays[name]
        if found.shape != spec.shape or found.dtype.name != spec.dtype:
            return f"{name} is {found.dtype.name}{list(found.shape)}, expected {spec.dtype}{list(spec.shape)}"
    return None


def range_fault(config: Model, arrays: Mapping[str, Array]) -> str | None:
    """Name, index, value and limits of the first value outside its range; None when all are inside.

    ``arrays`` have the shapes and types of `package_arrays` and, where they are there, of `optional_arrays`.
    """
    for name, spec in _every(config).items():
        if name not in arrays:
            continue
        kind = spec.holds
        if isinstance(kind, ArrayKind):
            fault = _outside(name, arrays[name], kind.low, kind.high, kind.why)
        else:
            fault = _table_fault(name, arrays[name].astype(np.int64), kind)
        if fault is not None:
            return fault
    return None


def _every(config: Model) -> Specs:
    return package_arrays(config) | optional_arrays(config)


def _outside(name: str, values: Array, low: int, high: int, why: str) -> str | None:
    """The first of ``values`` below ``low`` or above ``high``."""
    if low <= int(values.min(initial=low)) and int(values.max(initial=low)) <= high:
        return None
    wrong = (values < low) | (values > high)
    index = tuple(int(place) for place in np.argwhere(wrong)[0])
    return (
        f"{name}{list(index)} is {int(values[index])}, the machine takes {low}..{high} ({why});"
        f" {int(wrong.sum())} of {values.size} values are outside: {_AGAIN}"
    )


def _table_fault(name: str, table: Int64Array, info: TableInfo) -> str | None:
    """The same of a function table [words, 2]: bases, slopes, and where its chords lead."""
    base, slope = table[:, 0], table[:, 1]
    if info.first is not None and int(base[0]) != info.first:
        return f"{name}[0, 0] is {int(base[0])}, the first entry is {info.first} ({info.why}): {_AGAIN}"
    ends = chord_ends(table, info)
    return (
        _outside(f"{name}, base", base, *info.base, info.why)
        or _outside(f"{name}, slope", slope, *info.slope, "16 bits, none in a direct table")
        or _outside(f"{name}, last value before the next entry", ends, *info.base, info.why)
    )
