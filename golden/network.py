"""The whole network on integers, independent of any machine: every named tensor of one image and task."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from golden.layers import FACES
from golden.layers.forward import Forward
from hwgen.spec.graph import Network
from hwgen.spec.layers import Patches, Position, Select
from hwgen.spec.package import QuantisedModel
from hwgen.spec.tables import Int64Array

INPUTS = (Position, Patches)  # layers whose tensors are read from memory as they are: nothing compares them


def chosen_rows(tensors: Mapping[str, Int64Array], network: Network, task: str) -> dict[str, Int64Array]:
    """Which rows selections have let go on, for a float model that is to look at the same ones: `FloatModel.run`."""
    return {layer.kept: tensors[layer.kept] for layer in network.walk(task) if isinstance(layer, Select)}


def run_network(package: QuantisedModel, image: NDArray[np.uint8], task: str) -> dict[str, Int64Array]:
    """Every named tensor of one image [H, W, channels], logical shapes, in the order in which they are computed."""
    config = package.config
    config.task(task)
    expected = (config.image_height, config.image_width, config.channels)
    if image.shape != expected or image.dtype != np.uint8:
        raise ValueError(f"{config.name} takes a uint8 image {list(expected)}, got {image.dtype}{list(image.shape)}")
    network = config.network
    forward = Forward(package=package, network=network, task=task, image=image)
    inputs = set[str]()
    for layer in network.walk(task):
        FACES[type(layer)](forward, layer)
        if isinstance(layer, INPUTS):
            inputs |= {tensor.name for tensor in layer.tensors()}
    return {name: tensor for name, tensor in forward.tensors.items() if name not in inputs}
