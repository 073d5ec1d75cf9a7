"""Tensors of the float model for pictures: computed once, and kept between runs.

The float model is slower than the integers and the same for every machine; a second run of a picture, on this machine
or on another, takes its tensors from the cache.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from golden.reference.m3vit_float import FloatModel, Tensors
from hwgen.frontend.store import SUFFIX, float_digest, load_float
from hwgen.spec.graph_model import Model
from hwgen.store.cache import kept
from hwgen.store.digest import digest
from hwgen.store.packages import write_arrays

_ORDER = "order"  # entry of the metadata: names in the order in which they are computed; the file itself sorts them


class FloatTensors:
    """The float model of a network; its weights are read when a picture comes that it has not seen.

    Parameters
    ----------
    name: of the network, as `hwgen.frontend.store.load_float` takes it.
    config: its shape.
    keep: also put the tensors of new pictures into the cache: some megabytes a picture and task.
    """

    def __init__(self, name: str, config: Model, *, keep: bool = True) -> None:
        self._name, self._config, self._keep = name, config, keep

    @cached_property
    def _model(self) -> FloatModel:
        return FloatModel(load_float(self._name), self._config, details=True)

    @cached_property
    def _weights(self) -> str:
        return float_digest(self._name)

    def of(self, image: NDArray[np.uint8], task: str, chosen: Mapping[str, NDArray[Any]] | None = None) -> Tensors:
        """Every named tensor of one image (uint8 [height, width, channels]) under one task, logical shapes.

        ``chosen``: as of `FloatModel.run`.
        """
        chosen = chosen or {}
        if not self._keep:
            return self._model.run(image, task, chosen)
        rows = [f"{name} {positions.tolist()}" for name, positions in chosen.items()]
        name = f"{digest(self._weights, image.shape, image.tobytes().hex(), task, *rows)}{SUFFIX}"
        return kept("float", name, lambda part: _save(self._model.run(image, task, chosen), part), _load)


def _save(tensors: Tensors, path: Path) -> None:
    arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    write_arrays(path, arrays, {_ORDER: json.dumps(list(tensors))})


def _load(path: Path) -> Tensors:
    with cast("Any", safe_open)(path, framework="numpy") as handle:
        order = cast("list[str]", json.loads(handle.metadata()[_ORDER]))
        return {name: handle.get_tensor(name) for name in order}
