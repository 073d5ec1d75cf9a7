"""Layers that no instruction can run are refused by name, not lowered to something else."""

from dataclasses import replace

import pytest

from hwgen.compiler.allocate import allocate
from hwgen.compiler.lower import lower
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.shapes import Shapes
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.graph import Network
from hwgen.spec.layers import Rows
from hwgen.spec.presets import M3VIT_MICRO
from hwgen.spec.tables import TABLES

FEWER_KEYS = {
    "keys": 64,
    "key": Rows(tensor="blocks.0.key", count=64),
    "value": Rows(tensor="blocks.0.value", count=64),
}


def lowered(name: str, **fields: object) -> int:
    """Instructions of micro, one of whose layers has other fields."""
    network = M3VIT_MICRO.network
    layers = tuple(replace(layer, **fields) if layer.name == name else layer for layer in network.layers)
    shapes = Shapes(config=M3VIT_MICRO, arch=ARCHS["sim"])
    offsets = dict.fromkeys([layer.name for layer in layers] + [f"tables.{table.name}" for table in TABLES], 0)
    return len(
        lower(Writer(shapes, allocate(shapes), Network(layers, network.tasks), "seg", lambda _: [0] * 8, offsets))
    )


def test_micro_as_it_is():
    """Tables, position, patches and their embedding; twelve a block; norm, head, store and end."""
    assert lowered("norm") == 5 + 3 + 4 * 12 + 4


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("blocks.0.proj", {"source": Rows(tensor="blocks.0.query")}, "blocks.0.query: leaves blocks.0.query where no"),
        ("blocks.2.value", {"source": Rows(tensor="blocks.1.moe")}, "blocks.1.experts: leaves blocks.1.moe where no"),
        ("blocks.0", FEWER_KEYS, "blocks.0: takes a part of blocks.0.key; attention takes all of it"),
    ],
)
def test_what_cannot_be_lowered(name: str, fields: dict[str, object], says: str):
    with pytest.raises(ValueError, match=says):
        lowered(name, **fields)
