"""Lists of layers that the machine would run too early are refused; others have the places and waits they need."""

from dataclasses import replace

import pytest

from hwgen.compiler.allocate import allocate
from hwgen.compiler.errors import CompileError
from hwgen.compiler.fit import problems
from hwgen.compiler.lower import lower
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.order import gates_in_turn, order_faults
from hwgen.compiler.walk import Walk
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.constructors import Block, Builder, Embed, Heads, MoeBlock
from hwgen.spec.graph import Network
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.layers import Codes, Experts, Gelu, Layer, Linear, Position, Residual, Rows
from hwgen.spec.model import TaskConfig
from hwgen.spec.tables import TABLES

SIM = ARCHS["sim"]
TASK = TaskConfig(name="map", kind="depth", classes=1)


def started() -> Builder:
    """Eight tokens of sixteen channels."""
    to = Builder((TASK,))
    Embed(height=16, width=32, patch=8, dim=16, class_token="none").add_to(to)
    return to


def walked(to: Builder) -> Walk:
    Heads().add_to(to)
    return Walk(network=Network(tuple(to.layers), ("map",)), task="map", arch=SIM)


def adapter(to: Builder, name: str, source: str) -> None:
    """From a LayerNorm to the residual stream."""
    to.linear(f"{name}.down", source, (16, 8), Gelu(), "mlp")
    to.linear(f"{name}.up", f"{name}.down", (8, 16), to.added(), "mlp")


def test_images_are_loaded_first():
    to = started()
    assert [layer.name for layer in to.layers] == ["position", "patches", "patch_embed"]
    assert list(order_faults(walked(to))) == []
    swapped = [to.layers[0], to.layers[2], to.layers[1]]
    walk = Walk(network=_bare(swapped), task="map", arch=SIM)
    assert list(order_faults(walk)) == ["patches: is loaded at the start; put it before patch_embed"]


def _bare(layers: list[Layer]) -> Network:
    """A list that was not checked."""
    network = object.__new__(Network)
    object.__setattr__(network, "layers", tuple(layers))
    object.__setattr__(network, "tasks", ("map",))
    return network


def test_a_stream_waits_for_its_norms():
    """Codes of one LayerNorm join the stream before another LayerNorm of it has been read by anyone."""
    to = started()
    to.norm("one")
    to.linear("codes", "one", (16, 8), Codes(), "mlp")
    to.norm("other")
    to.linear("back", "codes", (8, 16), to.added(), "mlp")
    adapter(to, "late", "other")
    says = "back: may change rows of patch_embed before other has read them; let it depend on those rows of other"
    assert says in problems(walked(to).network, SIM)


@pytest.mark.parametrize(("first", "good"), [(4, True), (3, False), (0, False), (5, True)])
def test_a_row_is_changed_when_it_was_read(first: int, good: bool):
    """Rows 4 and up change with rows ``first`` and up of the LayerNorm."""
    to = started()
    to.norm("one")
    to.linear("codes", "one", (16, 8), Codes(), "mlp")
    count = min(4, 8 - first)
    into = Residual(into=Rows(tensor=to.residual, first=8 - count, count=count), rows=8)
    to.linear("back", Rows(tensor="codes", first=first, count=count), (8, 16), into, "mlp", rows=count)
    assert (problems(walked(to).network, SIM) == []) is (good and first == 8 - count)


def test_whoever_waits_for_all_rows_may_change_any():
    """The keys of attention are all there, so the LayerNorm has read everything."""
    to = started()
    Block(heads=1, hidden=8).add_to(to)
    layers = {layer.name: layer for layer in to.layers}
    proj = layers["blocks.0.proj"]
    assert isinstance(proj, Linear)
    later = replace(
        proj,
        source=Rows(tensor="blocks.0.context", first=0, count=4),
        rows=4,
        finish=Residual(into=Rows(tensor="patch_embed", first=4, count=4), rows=8),
    )
    to.layers = [later if layer.name == proj.name else layer for layer in to.layers]
    assert problems(walked(to).network, SIM) == []


def test_norms_of_one_stream_lie_apart():
    """Nothing is between them that orders the reader of the first before the second is written."""
    to = started()
    to.norm("one")
    to.linear("codes", "one", (16, 16), Codes(), "mlp")
    to.norm("other")
    to.linear("more", "other", (16, 16), Codes(), "mlp")
    to.linear("back", "more", (16, 16), to.added(), "mlp")
    to.linear("again", "codes", (16, 16), to.added(), "mlp")
    places = allocate(walked(to))
    assert (places["one"].base, places["other"].base) == (0, places["one"].end)


def test_a_norm_behind_a_change_takes_the_place():
    to = started()
    to.norm("one")
    adapter(to, "a", "one")
    to.norm("other")
    adapter(to, "b", "other")
    places = allocate(walked(to))
    assert places["one"].base == places["other"].base == 0


def test_who_reads_while_it_changes_keeps_the_place():
    """A linear layer reads a LayerNorm row by row and changes the stream row by row."""
    to = started()
    to.norm("one")
    to.linear("direct", "one", (16, 16), to.added(), "mlp")
    to.norm("other")
    adapter(to, "b", "other")
    places = allocate(walked(to))
    assert places["other"].base == places["one"].end


def test_rows_that_nobody_changes_are_there_at_once():
    """The first row of the second LayerNorm waits for nobody, so that it must not lie on the first one."""
    to = started()
    to.norm("one")
    to.linear("down", "one", (16, 8), Gelu(), "mlp")
    into = Residual(into=Rows(tensor=to.residual, first=1, count=7), rows=8)
    to.linear("up", Rows(tensor="down", first=1), (8, 16), into, "mlp", rows=7)
    to.norm("other")
    adapter(to, "b", "other")
    places = allocate(walked(to))
    assert places["other"].base == places["one"].end


def test_two_changes_in_a_row_wait():
    to = started()
    to.norm("one")
    to.linear("codes", "one", (16, 8), Codes(), "mlp")
    to.linear("first", "codes", (8, 16), to.added(), "mlp")
    to.linear("second", "codes", (8, 16), to.added(), "mlp")
    walk = walked(to)
    assert problems(walk.network, SIM) == []
    offsets = dict.fromkeys(["position"] + [f"tables.{table.name}" for table in TABLES], 0)
    steps = lower(Writer(walk, allocate(walk), lambda _: [1] * 8, offsets))
    waits = {step.name: step.fields.get("wait_b", 0) for step in steps if step.opcode is Opcode.LINEAR}
    assert waits["first"] == Counter.NONE
    assert waits["second"] == Counter.RESIDUAL
    (second,) = (step for step in steps if step.name == "second")
    assert second.fields["wait_b_base"] == 8 + 8 + 8  # position, patches, and the first


def test_a_change_reaches_to_the_last_row():
    to = started()
    to.norm("one")
    to.linear("codes", "one", (16, 8), Codes(), "mlp")
    into = Residual(into=Rows(tensor=to.residual, first=2, count=3), rows=8)
    to.linear("back", Rows(tensor="codes", count=3), (8, 16), into, "mlp", rows=3)
    says = "back: changes rows 2..4 of patch_embed, which has 8; a change reaches to the last row, since rows are"
    assert [text for text in problems(walked(to).network, SIM) if text.startswith(says)]


def test_a_task_has_one_stream():
    to = started()
    to.add(Position(name="more", writes="more", rows=4, columns=16))
    says = "task map: 2 position tables (position, more); a task has one residual stream"
    assert says in list(order_faults(Walk(network=_bare(to.layers), task="map", arch=SIM)))


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


def test_what_was_written_long_ago_is_not_waited_for():
    """Counters have sixteen bits and differences are signed."""
    to = started()
    to.norm("one")
    to.linear("early", "one", (16, 8), Gelu(), "mlp")
    to.linear("0", "one", (16, 8), Gelu(), "mlp")
    layers = 2**15 // 8
    for number in range(1, layers):
        to.linear(str(number), str(number - 1), (8, 8), Gelu(), "mlp")
    to.linear("late", str(layers - 1), (8, 16), to.added(), "mlp")
    to.linear("back", "early", (8, 16), to.added(), "mlp")
    Heads().add_to(to)
    walk = Walk(network=Network(tuple(to.layers), ("map",)), task="map", arch=SIM)
    offsets = dict.fromkeys(["position"] + [f"tables.{table.name}" for table in TABLES], 0)
    with pytest.raises(CompileError, match=r"^early is read when 32,776 rows of HIDDEN have been counted since it"):
        lower(Writer(walk, allocate(walk), lambda _: [1] * 8, offsets))


def test_two_loads_of_one_name():
    to = started()
    to.norm("one")
    to.linear("pool.values", "one", (16, 8), Gelu(), "mlp", writes="codes")
    adapter(to, "a", "one")
    to.linear("back", "codes", (8, 16), to.added(), "mlp")
    to.tasks = (TaskConfig(name="map", kind="classification", classes=3),)
    Heads(pool="mean").add_to(to)
    says = "pool: loads pool.values, as pool.values does; rename one of them"
    assert says in problems(Network(tuple(to.layers), ("map",)), SIM)


def test_queues_are_filled_and_emptied_in_turn():
    to = started()
    for _ in range(2):
        MoeBlock(heads=1, hidden=8, experts=2, top_k=1).add_to(to)
    assert list(order_faults(walked(to))) == []
    experts = next(layer for layer in to.layers if layer.name == "blocks.0.experts")
    gates = [layer for layer in to.layers if layer.name.endswith("gate.map")]
    walk = Walk(network=_bare([*gates, experts]), task="map", arch=SIM)
    found = list(gates_in_turn(walk))  # nothing else of such a list makes sense
    assert found[0] == "blocks.1.gate.map: fills the queues before the experts of blocks.0.gate.map have emptied them"
    assert found[1] == "blocks.0.experts: takes blocks.0.gate, which is not what the queues hold then"
