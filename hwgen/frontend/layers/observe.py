"""What calibration keeps of every kind of layer: rows of int8 tensors, ranges of scores, sizes of residual streams."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from golden.reference.m3vit_float import Tensors
from hwgen.frontend.scaling import Array, FloatArray
from hwgen.spec.graph import Network
from hwgen.spec.layers import (
    Attention,
    Codes,
    Experts,
    Gelu,
    Layer,
    Linear,
    Norm,
    Patches,
    Pool,
    Position,
    Residual,
    Restore,
    Result,
    Rows,
    Select,
)


class Collector:
    """Takes in the float tensors of one image after the other."""

    def __init__(self, network: Network) -> None:
        """Nothing has been seen."""
        self.network, self.task = network, ""
        self.samples: defaultdict[str, list[Array]] = defaultdict(list)
        self.residual_max = 0.0
        self.head_max: defaultdict[str, float] = defaultdict(float)
        self.score_min: dict[str, FloatArray] = {}
        self.score_max: dict[str, FloatArray] = {}
        self._sums: dict[str, FloatArray] = {}
        self._rows: dict[str, FloatArray] = {}

    @property
    def means(self) -> dict[str, FloatArray]:
        """Mean input of the layers that ask for it; zero of an expert that no token chose."""
        return {name: total / np.maximum(self._rows[name], 1.0)[..., None] for name, total in self._sums.items()}

    def add(self, tensors: Tensors, task: str) -> None:
        """Take in every tensor of one image under one task."""
        self.task = task
        for layer in self.network.walk(task):
            FACES[type(layer)](self, layer, tensors)

    def add_rows(self, name: str, rows: Array) -> None:
        """Add rows [n, in] to the mean input of a layer."""
        self.add_sums(name, rows.sum(axis=0), np.array(float(len(rows))))

    def add_sums(self, name: str, total: FloatArray, rows: FloatArray) -> None:
        """Add sums of rows, and their number, to the mean input of a layer or of a stack of them."""
        self._sums[name] = self._sums[name] + total if name in self._sums else total
        self._rows[name] = self._rows[name] + rows if name in self._rows else rows

    def sample(self, name: str, tensor: Array) -> None:
        """Keep the rows of an int8 tensor."""
        self.samples[name].append(tensor.reshape(-1, tensor.shape[-1]).astype(np.float32))

    def add_to_residual(self, tensor: Array) -> None:
        """Something that is held in the residual stream, or added to it."""
        self.residual_max = max(self.residual_max, float(np.abs(tensor).max()))


def _rows(tensors: Tensors, rows: Rows) -> Array:
    end = None if rows.count is None else rows.first + rows.count
    return tensors[rows.tensor][rows.first : end]


def _nothing(collector: Collector, layer: Layer, tensors: Tensors) -> None:
    """It leaves nothing that has a scale of its own."""


def _norm(collector: Collector, layer: Norm, tensors: Tensors) -> None:
    collector.sample(layer.writes, tensors[layer.writes])


def _linear(collector: Collector, layer: Linear, tensors: Tensors) -> None:
    found, finish = tensors[layer.writes], layer.finish
    if isinstance(finish, Codes | Gelu):
        collector.sample(layer.writes, found)
    elif isinstance(finish, Residual):
        collector.add_to_residual(found)
        if finish.into.tensor in tensors:  # the position table is looked at by itself
            collector.add_to_residual(found - tensors[finish.into.tensor])
    elif isinstance(finish, Result):
        collector.add_rows(layer.name, _rows(tensors, layer.source).reshape(layer.rows, layer.inputs))
        assert layer.task is not None
        collector.head_max[layer.task] = max(collector.head_max[layer.task], float(np.abs(found).max()))


def _attention(collector: Collector, layer: Attention, tensors: Tensors) -> None:
    width = layer.columns // layer.heads
    q, k = (_rows(tensors, x).reshape(-1, layer.heads, width).swapaxes(0, 1) for x in (layer.query, layer.key))
    products = q @ k.swapaxes(1, 2)
    least, most = products.min(axis=(1, 2)), products.max(axis=(1, 2))
    collector.score_min[layer.name] = np.minimum(collector.score_min.get(layer.name, np.inf), least)
    collector.score_max[layer.name] = np.maximum(collector.score_max.get(layer.name, -np.inf), most)
    collector.sample(layer.writes, tensors[layer.writes])


def _pool(collector: Collector, layer: Pool, tensors: Tensors) -> None:
    collector.sample(layer.writes, tensors[layer.writes])


def _experts(collector: Collector, layer: Experts, tensors: Tensors) -> None:
    """What each expert's two layers were given, and gave."""
    hidden, outputs = (tensors[name] for name in layer.observed)
    collector.sample(layer.observed[0], hidden)
    for added in (tensors[layer.writes], tensors[layer.writes] - tensors[layer.into.tensor], outputs):
        collector.add_to_residual(added)
    chosen = tensors[collector.network.writer(layer.gate.tensor, collector.task).tensors()[1].name]
    rows = np.repeat(_rows(tensors, layer.source)[:, None], chosen.shape[1], axis=1)
    picks = (chosen.reshape(-1) == np.arange(layer.experts)[:, None]).astype(np.float64)  # [experts, rows]
    for name, inputs in zip(layer.formats(), (rows, hidden), strict=True):
        collector.add_sums(name, picks @ inputs.reshape(-1, inputs.shape[-1]), picks.sum(axis=1))


def _select(collector: Collector, layer: Select, tensors: Tensors) -> None:
    """Rows that were there before, and what is fused."""
    collector.add_to_residual(tensors[layer.writes])


FACES: dict[type[Layer], Callable[[Collector, Any, Tensors], None]] = {
    Position: _nothing,
    Patches: _nothing,
    Norm: _norm,
    Linear: _linear,
    Attention: _attention,
    Pool: _pool,
    Experts: _experts,
    Select: _select,
    Restore: _nothing,
}
