"""Layers that no instruction can run are refused by name, not lowered to something else."""

from dataclasses import replace

import pytest

from hwgen.compiler.allocate import allocate
from hwgen.compiler.fit import problems
from hwgen.compiler.lower import lower
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.step import Step
from hwgen.compiler.walk import Walk
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.graph import Network
from hwgen.spec.isa import Counter, Source
from hwgen.spec.layers import Attention, Residual, Rows
from hwgen.spec.presets import M3VIT_MICRO
from hwgen.spec.tables import TABLES

SIM = ARCHS["sim"]
FEWER_KEYS = {
    "keys": 64,
    "key": Rows(tensor="blocks.0.key", count=64),
    "value": Rows(tensor="blocks.0.value", count=64),
}


def changed(name: str, **fields: object) -> Network:
    """Micro, one of whose layers has other fields."""
    network = M3VIT_MICRO.network
    layers = list(network.layers)
    place = next(number for number, layer in enumerate(layers) if layer.name == name)
    layers[place] = replace(layers[place], **fields)
    return Network(tuple(layers), network.tasks)


def lowered(network: Network) -> list[Step]:
    """The program of its first task."""
    walk = Walk(network=network, task=network.tasks[0], arch=SIM)
    offsets = dict.fromkeys([layer.name for layer in network.layers] + [f"tables.{table.name}" for table in TABLES], 0)
    return lower(Writer(walk, allocate(walk).places, lambda _: [0] * 8, offsets))


def test_micro_as_it_is():
    """Tables, position, patches and their embedding; twelve a block; norm, head, store and end."""
    assert len(lowered(M3VIT_MICRO.network)) == 5 + 3 + 4 * 12 + 4


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        (
            "blocks.0.value",
            {"source": Rows(tensor="blocks.0.key")},
            "blocks.0.value: reads blocks.0.key, which blocks.0.key leaves where no linear layer can read it",
        ),
        (
            "blocks.2.value",
            {"source": Rows(tensor="blocks.1.moe")},
            "blocks.2.value: reads blocks.1.moe, which blocks.1.experts leaves where no linear layer can read it",
        ),
        ("blocks.0", {"heads": 1}, "blocks.0: has 1 heads, blocks.0.query has 2; make them equal"),
        (
            "blocks.0.norm2",
            {"source": Rows(tensor="blocks.0.context")},
            "blocks.0.norm2: reads blocks.0.context, which is no residual stream (blocks.0 leaves it)",
        ),
        (
            "blocks.0.proj",
            {"finish": Residual(into=Rows(tensor="blocks.0.query"), rows=65)},
            "blocks.0.proj: adds to blocks.0.query, which is no residual stream (blocks.0.query leaves it)",
        ),
        (
            "blocks.1.experts",
            {"top_k": 3},
            "blocks.1.experts: top_k 3, its gate blocks.1.gate.seg chooses 2; make them equal",
        ),
        ("blocks.0", FEWER_KEYS, "blocks.0: takes a part of blocks.0.key; attention takes all of it"),
    ],
)
def test_what_cannot_be_lowered(name: str, fields: dict[str, object], says: str):
    assert says in problems(changed(name, **fields), SIM)


def test_keys_that_are_values():
    """A tensor lies in one buffer."""
    layers = [layer for layer in M3VIT_MICRO.network.layers if layer.name != "blocks.0.key"]
    same = [replace(x, key=x.value) if isinstance(x, Attention) and x.name == "blocks.0" else x for x in layers]
    network = Network(tuple(same), M3VIT_MICRO.network.tasks)
    says = "blocks.0: takes blocks.0.value from the key buffer, where blocks.0.value does not leave it"
    assert problems(network, SIM) == [says]


def test_a_linear_layer_may_read_queries():
    """They lie in the activation buffer, every head padded to whole words."""
    steps = lowered(changed("blocks.0.value", source=Rows(tensor="blocks.0.query")))
    (value,) = (step for step in steps if step.name == "blocks.0.value")
    (query,) = (step for step in steps if step.name == "blocks.0.query")
    assert value.fields["source"] == Source.ACTIVATION
    assert value.fields["src_base"] == query.fields["dst_base"]
    assert (value.fields["wait_a"], value.fields["wait_a_base"]) == (Counter.QUERY, 0)
