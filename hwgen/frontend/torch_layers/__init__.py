"""What every kind of layer does to tensors of torch, one file each; the batch comes first."""

from collections.abc import Callable
from typing import Any

from hwgen.frontend.torch_layers import attention, experts, linear, norm, patches, pool, position
from hwgen.frontend.torch_layers.forward import Forward
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
