"""Float forward pass of an M3ViT in NumPy, with every named tensor that the integer golden model also names.

A float model is a mapping from the names of `float_arrays` to arrays; a linear layer's weight is [out, in]. This is the
reference that the quantised network is compared with, and what calibration observes. No torch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.reference.functions import FloatArray
from golden.reference.layers import FACES
from golden.reference.layers.forward import Forward
from hwgen.spec.graph_model import Model
from hwgen.spec.layers import Patches, Position

Arrays = Mapping[str, FloatArray]
Tensors = dict[str, NDArray[Any]]


def float_arrays(config: Model) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every array of a float model."""
    return dict(config.network.floats)


def check_float_arrays(arrays: Arrays, config: Model) -> None:
    """ValueError names the first array that is missing, has the wrong shape, or is not finite."""
    for name, shape in float_arrays(config).items():
        if name not in arrays:
            raise ValueError(f"{config.name}: float array {name!r} is missing")
        if arrays[name].shape != shape:
            raise ValueError(f"{config.name}: {name} has shape {list(arrays[name].shape)}, expected {list(shape)}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{config.name}: {name} holds NaN or infinite values")


class FloatModel:
    """A float model ready to run; computes in float64.

    Parameters
    ----------
    arrays: the arrays named by `float_arrays`; ValueError names one that does not fit.
    config: shape of the network.
    details: also return what calibration needs inside a mixture of experts (``Experts.observed``), a token's experts
        ascending as the gate leaves them: hidden units [tokens, top_k, hidden] and outputs [tokens, top_k, columns].
    """

    def __init__(self, arrays: Arrays, config: Model, *, details: bool = False) -> None:
        check_float_arrays(arrays, config)
        self.config = config
        self.details = details
        self._arrays = {name: np.asarray(arrays[name], dtype=np.float64) for name in float_arrays(config)}

    def run(self, image: NDArray[np.uint8], task: str, chosen: Mapping[str, NDArray[Any]] | None = None) -> Tensors:
        """Every named tensor of one image (uint8 [height, width, channels]) under one task.

        ``chosen``: which rows go on, by the tensor of their positions (``Select.kept``), where that is not this model's
        to say: a comparison with integers looks at the same tokens.
        """
        config = self.config
        config.task(task)
        expected = (config.image_height, config.image_width, config.channels)
        if image.shape != expected or image.dtype != np.uint8:
            raise ValueError(
                f"{config.name} takes uint8 images of {list(expected)}, got {image.dtype}{list(image.shape)}"
            )
        forward = Forward(self._arrays, config.network, task, image, self.details, chosen=chosen or {})
        inputs = set[str]()
        for layer in config.network.walk(task):
            FACES[type(layer)](forward, layer)
            if isinstance(layer, Position | Patches):
                inputs.add(layer.writes)
        return {name: tensor for name, tensor in forward.tensors.items() if name not in inputs}


def run_float(arrays: Arrays, config: Model, image: NDArray[np.uint8], task: str) -> Tensors:
    """Every named tensor of one image under one task; `FloatModel` when there are many images."""
    return FloatModel(arrays, config).run(image, task)
