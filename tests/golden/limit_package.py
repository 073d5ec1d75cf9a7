"""Random packages whose arrays hold the limits of their ranges, function tables included."""

from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.array_kinds import ZERO, ArrayKind
from hwgen.spec.arrays import optional_arrays, package_arrays
from hwgen.spec.model import ModelConfig
from hwgen.spec.package import QuantisedModel
from hwgen.spec.tables import TableInfo, chord_ends
from tests.golden.random_package import changed, random_package

SHARE = 0.02  # of the values of an array, at either limit; as much again lies anywhere between the two
FEW = 8  # an array of fewer values is left alone in three of four packages: its limits silence whatever follows


def limit_table(info: TableInfo, rng: np.random.Generator) -> NDArray:
    """Random entries; bases, slopes and the ends of chords reach their limits."""
    base = rng.integers(info.base[0], info.base[1] + 1, info.words)
    base[1::5], base[2::5] = info.base
    slope = rng.integers(info.slope[0], info.slope[1] + 1, info.words)
    if info.chord_bits:
        end = rng.integers(info.base[0], info.base[1] + 1, info.words)
        end[::5], end[4::5] = info.base
        slope = (end - base).clip(*info.slope)
    if info.first is not None:
        base[0] = info.first
    table = np.stack([base, slope], axis=1)
    ends = chord_ends(table, info)
    assert info.base[0] <= ends.min()
    assert ends.max() <= info.base[1]
    assert set(info.base) <= set(base.tolist())
    return table.astype(np.int32)


def limit_values(values: NDArray, kind: ArrayKind, rng: np.random.Generator) -> NDArray:
    """Some of ``values`` at their limits, or between them."""
    share = SHARE
    if values.size < FEW:
        share = 0.4 if rng.random() < 0.25 else 0.0
    found = values.astype(np.int64)
    draw = rng.random(values.shape)
    anywhere = rng.integers(kind.low, kind.high + 1, values.shape)
    found = np.where(draw < 3 * share, anywhere, found)
    found = np.where(draw < 2 * share, kind.high, found)
    found = np.where(draw < share, kind.low, found)
    if values.size >= FEW:
        found.flat[rng.choice(values.size, 2, replace=False)] = kind.low, kind.high
    return found.astype(values.dtype)


def limit_package(config: ModelConfig, seed: int) -> QuantisedModel:
    """A random package with values at the limits in every array."""
    rng = np.random.default_rng((77, seed))
    package = random_package(config, seed)
    arrays = {
        name: limit_values(package.arrays[name], spec.holds, rng)
        if isinstance(spec.holds, ArrayKind)
        else limit_table(spec.holds, rng)
        for name, spec in (package_arrays(config) | optional_arrays(config)).items()
    }
    extremes = cycle((ZERO.low, ZERO.high) if rng.random() < 0.5 else (ZERO.high, ZERO.low))
    zeros = {name: np.full_like(arrays[name], next(extremes)) for name in optional_arrays(config)}
    return changed(package, **arrays | zeros)
