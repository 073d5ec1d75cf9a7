"""What every kind of layer does to real numbers, one file each."""

from collections.abc import Callable
from typing import Any

from golden.reference.layers.forward import Forward
from hwgen.spec.layers import Layer, faces

FACES: dict[type[Layer], Callable[[Forward, Any], None]] = faces(__name__, "run")
