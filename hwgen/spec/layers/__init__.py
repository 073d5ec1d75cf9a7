"""The kinds of layers, one file each."""

from hwgen.spec.layers.attention import Attention
from hwgen.spec.layers.experts import Experts
from hwgen.spec.layers.layer import Count, CountOrNone, Floats, Layer, Rows, Tensor
from hwgen.spec.layers.linear import Codes, Gate, Gelu, Linear, Residual, Result
from hwgen.spec.layers.norm import Norm
from hwgen.spec.layers.patches import Patches
from hwgen.spec.layers.pool import Pool
from hwgen.spec.layers.position import CLASS_TOKEN, Position

KINDS: tuple[type[Layer], ...] = (Position, Patches, Linear, Norm, Attention, Pool, Experts)

__all__ = [
    "CLASS_TOKEN",
    "KINDS",
    "Attention",
    "Codes",
    "Count",
    "CountOrNone",
    "Experts",
    "Floats",
    "Gate",
    "Gelu",
    "Layer",
    "Linear",
    "Norm",
    "Patches",
    "Pool",
    "Position",
    "Residual",
    "Result",
    "Rows",
    "Tensor",
]
