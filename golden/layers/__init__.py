"""What every kind of layer does to integers, one file each."""

from collections.abc import Callable
from typing import Any

from golden.layers import attention, experts, linear, norm, patches, pool, position
from golden.layers.forward import Forward
from hwgen.spec.layers import Attention, Experts, Layer, Linear, Norm, Patches, Pool, Position

FACES: dict[type[Layer], Callable[[Forward, Any], None]] = {
    Position: position.run,
    Patches: patches.run,
    Linear: linear.run,
    Norm: norm.run,
    Attention: attention.run,
    Pool: pool.run,
    Experts: experts.run,
}
