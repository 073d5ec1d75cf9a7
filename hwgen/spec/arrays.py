"""The arrays of a package: name, shape, type and the range of values that the machine holds, declared once.

Within these ranges no sum overflows (docs/numerics.md) and the RTL equals golden. `range_fault` finds a value outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.model import ModelConfig
from hwgen.spec.numerics import MAX_BIAS, MAX_CONTEXT_SHIFT, MAX_NORM_SHIFT, MAX_SHIFT, NUMERICS
from hwgen.spec.tables import TABLES, Int64Array, TableInfo, chord_ends
from hwgen.spec.weight_formats import WEIGHT_FORMATS, weight_format

Array = NDArray[Any]
_AGAIN = "quantise or import the network again"
_MULT = 2**NUMERICS.multiplier_bits - 1
_INT16 = 2 ** (NUMERICS.residual_bits - 1)


@dataclass(frozen=True, kw_only=True)
class ArrayKind:
    """What arrays of one kind hold: their type and the smallest and largest value that the machine takes."""

    arrays: str  # which arrays these are, for documents
    dtype: str
    low: int
    high: int
    why: str  # of the range


_WEIGHTS = {
    item.name: ArrayKind(
        arrays=item.arrays,
        dtype="int8",
        low=-item.largest,
        high=item.largest,
        why=item.why,
    )
    for item in WEIGHT_FORMATS
}
BIAS = ArrayKind(arrays="bias, scores.bias", dtype="int32", low=-MAX_BIAS, high=MAX_BIAS, why="acc + bias fits 32 bits")
MULT = ArrayKind(
    arrays="mult, gelu_mult, scores.mult, context.mult", dtype="uint16", low=0, high=_MULT, why="M has 16 bits"
)
SHIFT = ArrayKind(
    arrays="shift, gelu_shift, scores.shift", dtype="uint8", low=0, high=MAX_SHIFT, why="no product has more bits"
)
CONTEXT_SHIFT = ArrayKind(
    arrays="context.shift", dtype="uint8", low=0, high=MAX_CONTEXT_SHIFT, why="S_row stays at most 47"
)
GAIN = ArrayKind(arrays="gain of a LayerNorm", dtype="int16", low=-_INT16, high=_INT16 - 1, why="16 bits")
OFFSET = ArrayKind(
    arrays="offset of a LayerNorm", dtype="int32", low=-MAX_BIAS, high=MAX_BIAS, why="z * gain + offset fits 35 bits"
)
NORM_SHIFT = ArrayKind(
    arrays="shift of a LayerNorm", dtype="uint8", low=0, high=MAX_NORM_SHIFT, why="no finer gain is needed"
)
POSITION = ArrayKind(arrays="position", dtype="int16", low=-_INT16, high=_INT16 - 1, why="a row of the residual")
KINDS = (*_WEIGHTS.values(), BIAS, MULT, SHIFT, CONTEXT_SHIFT, GAIN, OFFSET, NORM_SHIFT, POSITION)
TABLE_DTYPE = "int32"


@dataclass(frozen=True)
class ArraySpec:
    """One array of a package."""

    shape: tuple[int, ...]
    holds: ArrayKind | TableInfo  # a function table has one range for its bases and one for its slopes

    @property
    def dtype(self) -> str:
        """Name of the type."""
        return self.holds.dtype if isinstance(self.holds, ArrayKind) else TABLE_DTYPE


Specs = dict[str, ArraySpec]


def _linear(config: ModelConfig, prefix: str, out: int, inputs: int, lead: tuple[int, ...] = ()) -> Specs:
    """A linear layer: int8 weights [.., out, in] and per-channel bias, multiplier and shift."""
    return {
        f"{prefix}.weight": ArraySpec((*lead, out, inputs), _WEIGHTS[weight_format(config, prefix).name]),
        f"{prefix}.bias": ArraySpec((*lead, out), BIAS),
        f"{prefix}.mult": ArraySpec((*lead, out), MULT),
        f"{prefix}.shift": ArraySpec((*lead, out), SHIFT),
    }


def _norm(prefix: str, dim: int) -> Specs:
    return {
        f"{prefix}.gain": ArraySpec((dim,), GAIN),
        f"{prefix}.offset": ArraySpec((dim,), OFFSET),
        f"{prefix}.shift": ArraySpec((1,), NORM_SHIFT),
    }


def _scale(prefix: str, name: str = "", count: int = 1, shift: ArrayKind = SHIFT) -> Specs:
    return {f"{prefix}.{name}mult": ArraySpec((count,), MULT), f"{prefix}.{name}shift": ArraySpec((count,), shift)}


def _block_arrays(config: ModelConfig, block: int) -> Specs:
    dim, at = config.dim, f"blocks.{block}"
    specs = _norm(f"{at}.norm1", dim) | _norm(f"{at}.norm2", dim)
    for name in ("query", "key", "value", "proj"):
        specs |= _linear(config, f"{at}.{name}", dim, dim)
    specs |= {f"{at}.scores.bias": ArraySpec((config.heads,), BIAS)} | _scale(f"{at}.scores", count=config.heads)
    specs |= _scale(f"{at}.context", shift=CONTEXT_SHIFT)
    if not config.is_moe(block):
        specs |= _linear(config, f"{at}.fc1", config.mlp_hidden, dim) | _scale(f"{at}.fc1", "gelu_")
        return specs | _linear(config, f"{at}.fc2", dim, config.mlp_hidden)
    for task in config.tasks:
        specs |= _linear(config, f"{at}.gate.{task.name}", config.experts, dim)
    inner, lead = f"{at}.experts", (config.experts,)
    specs |= _linear(config, f"{inner}.fc1", config.expert_hidden, dim, lead) | _scale(f"{inner}.fc1", "gelu_")
    return specs | _linear(config, f"{inner}.fc2", dim, config.expert_hidden, lead)


def package_arrays(config: ModelConfig) -> Specs:
    """Name -> shape, type and range of every array in a package of this network."""
    specs: Specs = {"position": ArraySpec((config.tokens, config.dim), POSITION)}
    specs |= _linear(config, "patch_embed", config.dim, config.patch_values)
    for block in range(config.depth):
        specs |= _block_arrays(config, block)
    specs |= _norm("norm", config.dim)
    for task in config.tasks:
        specs |= _linear(config, f"heads.{task.name}", task.outputs, config.dim)
    return specs | {f"tables.{table.name}": ArraySpec((table.words, 2), table) for table in TABLES}


def shape_fault(config: ModelConfig, arrays: Mapping[str, Array]) -> str | None:
    """What is wrong with the first array that is missing or has another shape or type; None when all are there."""
    for name, spec in package_arrays(config).items():
        if name not in arrays:
            return f"array {name!r} is missing"
        found = arrays[name]
        if found.shape != spec.shape or found.dtype.name != spec.dtype:
            return f"{name} is {found.dtype.name}{list(found.shape)}, expected {spec.dtype}{list(spec.shape)}"
    return None


def range_fault(config: ModelConfig, arrays: Mapping[str, Array]) -> str | None:
    """Name, index, value and limits of the first value outside its range; None when all are inside.

    ``arrays`` have the shapes and types of `package_arrays`.
    """
    for name, spec in package_arrays(config).items():
        kind = spec.holds
        if isinstance(kind, ArrayKind):
            fault = _outside(name, arrays[name], kind.low, kind.high, kind.why)
        else:
            fault = _table_fault(name, arrays[name].astype(np.int64), kind)
        if fault is not None:
            return fault
    return None


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
