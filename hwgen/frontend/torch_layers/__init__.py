"""What every kind of layer does to tensors of torch, one file each; the batch comes first."""

from collections.abc import Callable
from typing import Any

from hwgen.frontend.torch_layers.forward import Forward
from hwgen.spec.layers import Layer, faces

FACES: dict[type[Layer], Callable[[Forward, Any], None]] = faces(__name__, "run")
