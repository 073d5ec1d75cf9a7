"""The kinds of layers, one file each."""

from importlib import import_module
from typing import Any

from hwgen.spec.layers.attention import Attention
from hwgen.spec.layers.experts import Experts
from hwgen.spec.layers.layer import EPSILON, Count, CountOrNone, Epsilon, Floats, Layer, Rows, Tensor
from hwgen.spec.layers.linear import Codes, Gate, Gelu, Linear, Residual, Result
from hwgen.spec.layers.norm import Norm
from hwgen.spec.layers.patches import Patches
from hwgen.spec.layers.pool import Pool
from hwgen.spec.layers.position import CLASS_TOKEN, Position
from hwgen.spec.layers.restore import Restore
from hwgen.spec.layers.select import Select

KINDS: tuple[type[Layer], ...] = (Position, Patches, Linear, Norm, Attention, Pool, Experts, Select, Restore)


def faces(world: str, name: str) -> dict[type[Layer], Any]:
    """Kind -> what a world says of it: ``name`` in the file of the kind's name in the package ``world``.

    ModuleNotFoundError or AttributeError when a kind has none there.
    """
    return {kind: getattr(import_module(f"{world}.{kind.__name__.lower()}"), name) for kind in KINDS}


__all__ = [
    "CLASS_TOKEN",
    "EPSILON",
    "KINDS",
    "Attention",
    "Codes",
    "Count",
    "CountOrNone",
    "Epsilon",
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
    "Restore",
    "Result",
    "Rows",
    "Select",
    "Tensor",
    "faces",
]
