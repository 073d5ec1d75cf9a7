"""Tensors of a graph as what they are to a vision transformer: elements of a few computed tensors, moved about.

A `View` has any shape; every element is one of a base (or none), times a factor, plus an offset. Nodes that reshape,
transpose, slice, join, scale and shift only make other views. What computes something new is a base.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NONE = -1  # index of an element that is of no base: just its offset


@dataclass(frozen=True, eq=False)
class Base:
    """A computed tensor of a canonical shape; ``node`` computed it, ``output`` is the tensor's name there."""

    shape: tuple[int, ...]
    node: Any = field(repr=False)
    output: str


@dataclass(frozen=True, eq=False)
class Image(Base):
    """The input, [1, channels, height, width]."""


@dataclass(frozen=True, eq=False)
class Patches(Base):
    """Convolution of whole patches, [patches, channels]: weight [channels, colours, side, side]."""

    weight: Array
    bias: Array
    grid: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Linear(Base):
    """[rows, outputs]: weight [outputs, inputs]."""

    source: "View"  # [rows, inputs]
    weight: Array
    bias: Array


@dataclass(frozen=True, eq=False)
class Norm(Base):
    """LayerNorm of rows, [rows, channels]."""

    source: "View"
    weight: Array
    bias: Array
    epsilon: float


@dataclass(frozen=True, eq=False)
class Pointwise(Base):
    """A function of every element of a base."""

    source: Base
    function: Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Scores(Base):
    """Products of queries [heads, rows, width] and keys [heads, width, rows]."""

    query: "View"
    key: "View"


@dataclass(frozen=True, eq=False)
class Probabilities(Base):
    """Softmax of scores; ``scale``: what they are multiplied with before."""

    scores: Scores
    scale: float


@dataclass(frozen=True, eq=False)
class Context(Base):
    """[heads, rows, width]: means of values, weighted with probabilities."""

    probabilities: Probabilities
    value: "View"


@dataclass(frozen=True, eq=False)
class Sum(Base):
    """Two tensors added, [rows, channels]."""

    left: "View"
    right: "View"


@dataclass(frozen=True, eq=False)
class Mean(Base):
    """The mean of rows, [1, channels]."""

    source: "View"


@dataclass(frozen=True, eq=False)
class View:
    """``factor * base[index] + offset``, element by element; factor and offset broadcast to the index."""

    base: Base
    index: Array
    factor: Array
    offset: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return self.index.shape

    @property
    def whole(self) -> bool:
        """Whether every element of the base is there once, in its order, but for ones in the shape."""
        return self.index.size == np.prod(self.base.shape) and bool(
            np.array_equal(self.index.ravel(), np.arange(self.index.size))
        )

    @property
    def plain(self) -> bool:
        """Whether elements are as they are in the base."""
        return bool((self.factor == 1).all() and (self.offset == 0).all())

    @property
    def scalar(self) -> bool:
        """Whether one factor and one offset do for all."""
        return self.factor.size == 1 and self.offset.size == 1

    def moved(self, move: Callable[[Array], Array]) -> "View":
        """The view after elements have been moved about."""
        parts = (
            part if part.size == 1 else move(np.broadcast_to(part, self.shape)) for part in (self.factor, self.offset)
        )
        factor, offset = parts
        return View(self.base, move(self.index), _flat(factor), _flat(offset))

    def scaled(self, factor: Array, offset: Array) -> "View":
        """``view * factor + offset``; shapes broadcast."""
        new_factor, new_offset = self.factor * factor, self.offset * factor + offset
        shape = np.broadcast_shapes(self.shape, np.shape(new_factor), np.shape(new_offset))
        return View(self.base, np.broadcast_to(self.index, shape), _flat(new_factor), _flat(new_offset))

    def rows(self) -> "View":
        """The same elements as [rows, columns], the last axis being columns."""
        return self.moved(lambda array: array.reshape(-1, self.shape[-1]))


def _flat(array: Array) -> Array:
    """One value as an array without axes."""
    return np.asarray(array).reshape(()) if np.size(array) == 1 else np.asarray(array)


def view_of(base: Base, shape: tuple[int, ...] | None = None) -> View:
    """All of a base, in another shape."""
    index = np.arange(int(np.prod(base.shape))).reshape(base.shape if shape is None else shape)
    return View(base, index, np.ones(()), np.zeros(()))


def per_column(view: View) -> tuple[Array, Array] | None:
    """Factor and offset of each column of a whole [rows, columns] base; None when rows differ."""
    rows = view.rows()
    columns = rows.shape[1]
    if not view.whole or view.base.shape != rows.shape:
        return None
    found: list[Array] = []
    for part in (rows.factor, rows.offset):
        wide = np.broadcast_to(part, rows.shape)
        if not np.array_equal(wide, np.broadcast_to(wide[:1], rows.shape)):
            return None
        found.append(wide[0].reshape(columns))
    return found[0], found[1]


def folded(view: View) -> View:
    """A view whose factor and offset are one for each column, as a view of a base that has them in its weights."""
    base = view.base
    if view.scalar and not (isinstance(base, Linear | Norm) and (view.offset != 0).any()):
        return view
    if not isinstance(base, Linear | Norm):
        return view
    columns = per_column(view)
    if columns is None:
        return view
    factor, offset = columns
    weight = base.weight * (factor[:, None] if isinstance(base, Linear) else factor)
    return view_of(replace(base, weight=weight, bias=base.bias * factor + offset), view.shape)
