"""What every kind of layer does to integers, one file each."""

from collections.abc import Callable
from typing import Any

from golden.layers.forward import Forward
from hwgen.spec.layers import Layer, faces

FACES: dict[type[Layer], Callable[[Forward, Any], None]] = faces(__name__, "run")
