"""There is one set of token queues: gates and experts take turns."""

from dataclasses import replace

from hwgen.compiler.fit import problems
from hwgen.compiler.gates import gates_in_turn
from hwgen.compiler.walk import Walk
from hwgen.spec.constructors import MoeBlock
from hwgen.spec.graph import Network
from hwgen.spec.layers import Experts, Layer, Rows
from tests.compiler.lists import SIM, started, walked


def _bare(layers: list[Layer]) -> Network:
    """A list that was not checked."""
    network = object.__new__(Network)
    object.__setattr__(network, "layers", tuple(layers))
    object.__setattr__(network, "tasks", ("map",))
    return network


def test_experts_take_what_their_gate_has_seen():
    """They wait for the gate, and for nobody else."""
    to = started()
    MoeBlock(heads=1, hidden=8, experts=2, top_k=1).add_to(to)
    number = next(n for n, layer in enumerate(to.layers) if isinstance(layer, Experts))
    experts = to.layers[number]
    assert isinstance(experts, Experts)
    to.layers[number:] = [replace(experts, source=Rows(tensor="blocks.0.norm1"))]
    says = "blocks.0.experts: waits for the gate alone; give it the rows of blocks.0.gate.map, blocks.0.norm2"
    assert says in list(gates_in_turn(Walk(network=_bare(to.layers), task="map", arch=SIM)))


def test_queues_are_filled_and_emptied_in_turn():
    to = started()
    for _ in range(2):
        MoeBlock(heads=1, hidden=8, experts=2, top_k=1).add_to(to)
    assert problems(walked(to).network, SIM) == []
    experts = next(layer for layer in to.layers if layer.name == "blocks.0.experts")
    gates = [layer for layer in to.layers if layer.name.endswith("gate.map")]
    walk = Walk(network=_bare([*gates, experts]), task="map", arch=SIM)
    found = list(gates_in_turn(walk))  # nothing else of such a list makes sense
    assert found[0] == "blocks.1.gate.map: fills the queues before the experts of blocks.0.gate.map have emptied them"
    assert found[1] == "blocks.0.experts: takes blocks.0.gate, which is not what the queues hold then"
