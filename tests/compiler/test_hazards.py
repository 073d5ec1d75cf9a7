"""What is in no order is found, and where an instruction can wait for it, it does."""

from dataclasses import replace

import pytest

from hwgen.compiler.allocate import allocate
from hwgen.compiler.compile import scheduled
from hwgen.compiler.fit import problems
from hwgen.compiler.hazards import checked
from hwgen.compiler.step import Step
from hwgen.compiler.walk import Walk
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.constructors import Block, Builder, Embed, Heads
from hwgen.spec.graph import Network
from hwgen.spec.isa import Counter, Destination, Opcode, Source
from hwgen.spec.layers import Codes, Gelu, Linear, Residual, Rows
from hwgen.spec.model import TaskConfig
from tests.compiler.lists import SIM, TASK, adapter, changed, lowered, ordered, started, walked
from tests.compiler.programs import CONFIGS, PAIRS


def steps_of(model: str, arch: ArchConfig) -> dict[str, list[Step]]:
    network = CONFIGS[model].network
    tasks = [task.name for task in CONFIGS[model].tasks]
    return scheduled(network, arch, tasks, lambda name: [1] * network.arrays[name].shape[0])[1]


@pytest.mark.parametrize(("model", "arch"), PAIRS)
def test_programs_of_vits_are_in_order(model: str, arch: str):
    """No wait is added to what the layers say themselves."""
    for steps in steps_of(model, ARCHS[arch]).values():
        program = checked(steps, ARCHS[arch], repair=False)
        assert program.hazards == []


def test_every_wait_that_no_other_implies():
    """Of the 68 waits of m3vit-micro 39 are needed; a LINEAR of keys starts behind the LINEAR of queries, say, which
    has waited for the same rows.
    """
    steps = steps_of("m3vit-micro", SIM)["seg"]
    needed, implied = [], []
    for number, step in enumerate(steps):
        for wait in ("wait_a", "wait_b"):
            if step.fields.get(wait) and step.opcode is not Opcode.LOAD_WEIGHTS:
                bare = [*steps[:number], replace(step, fields={**step.fields, wait: 0}), *steps[number + 1 :]]
                found = checked(bare, SIM, repair=False).hazards
                (needed if found else implied).append((step.name, wait))
                if found:
                    assert found[0].second == number
    assert (len(needed), len(implied)) == (39, 29)
    assert {name.rpartition(".")[2] for name, wait in implied if wait == "wait_a"} == {"key", "value", "0", "1"}
    assert ("patch_embed", "wait_b") in implied  # IO loads the position table before the image


def test_a_stream_waits_for_its_norms():
    """Codes of one LayerNorm join the stream before another LayerNorm of it has been read by anyone."""
    to = started()
    to.norm("one")
    to.linear("codes", "one", (16, 8), Codes(), "mlp")
    to.norm("other")
    to.linear("back", "codes", (8, 16), to.added(), "mlp")
    adapter(to, "late", "other")
    steps = ordered(walked(to))
    assert (steps["back"].every["wait_b"], steps["back"].every["wait_b_base"]) == (Counter.NORM, 16)


@pytest.mark.parametrize("first", [4, 3, 0])
def test_operands_are_loaded_in_order(first: int):
    """Whatever rows of the codes join the stream: the LINEAR before has loaded every row of the LayerNorm."""
    to = started()
    to.norm("one")
    to.linear("codes", "one", (16, 8), Codes(), "mlp")
    into = Residual(into=Rows(tensor=to.residual, first=4, count=4), rows=8)
    to.linear("back", Rows(tensor="codes", first=first, count=4), (8, 16), into, "mlp", rows=4)
    walk = replace(walked(to), arch=replace(SIM, token_lanes=1))
    assert ordered(walk)["back"].every["wait_b"] == 0


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
    assert ordered(walked(to))[proj.name].every["wait_b"] == 0


def _two_norms() -> Walk:
    """Nothing is between them that orders the reader of the first before the second is written."""
    to = started()
    to.norm("one")
    to.linear("codes", "one", (16, 16), Codes(), "mlp")
    to.norm("other")
    to.linear("more", "other", (16, 16), Codes(), "mlp")
    to.linear("back", "more", (16, 16), to.added(), "mlp")
    to.linear("again", "codes", (16, 16), to.added(), "mlp")
    return walked(to)


def test_norms_of_one_stream_lie_apart():
    walk = _two_norms()
    places = allocate(walk).places
    assert (places["one"].base, places["other"].base) == (0, places["one"].end)
    assert ordered(walk)["other"].every["wait_b"] == 0


def test_a_buffer_that_is_full_makes_the_norm_wait():
    """There is room for one LayerNorm, so that the second one begins when the first has been read."""
    walk = _two_norms()
    words = allocate(walk).places["one"].end
    small = replace(walk, arch=replace(SIM, norm_bytes=words * SIM.output_lanes))
    steps, places = ordered(small), allocate(small).places
    assert places["other"].base == places["one"].base == 0
    assert (steps["other"].every["wait_b"], steps["other"].every["wait_b_base"]) == (Counter.QUERY, 8)
    assert problems(small.network, small.arch) == []


def test_a_norm_behind_a_change_takes_the_place():
    to = started()
    to.norm("one")
    adapter(to, "a", "one")
    to.norm("other")
    adapter(to, "b", "other")
    places = allocate(walked(to)).places
    assert places["one"].base == places["other"].base == 0


def test_who_reads_while_it_changes_keeps_the_place():
    """A linear layer reads a LayerNorm row by row and changes the stream row by row."""
    to = started()
    to.norm("one")
    to.linear("direct", "one", (16, 16), to.added(), "mlp")
    to.norm("other")
    adapter(to, "b", "other")
    walk = walked(to)
    places = allocate(walk).places
    assert places["other"].base == places["one"].end
    small = replace(walk, arch=replace(SIM, norm_bytes=places["one"].end * SIM.output_lanes))
    assert allocate(small).places["other"].base == 0
    assert ordered(small)["other"].every["wait_b"] == 0  # word by word nothing is missing


def test_rows_that_nobody_changes_are_there_at_once():
    """The first row of the second LayerNorm waits for nobody, so that it must not lie on the first one."""
    to = started()
    to.norm("one")
    to.linear("down", "one", (16, 8), Gelu(), "mlp")
    into = Residual(into=Rows(tensor=to.residual, first=1, count=7), rows=8)
    to.linear("up", Rows(tensor="down", first=1), (8, 16), into, "mlp", rows=7)
    to.norm("other")
    adapter(to, "b", "other")
    places = allocate(walked(to)).places
    assert places["other"].base == places["one"].end


def test_an_exit_in_row_0_is_found():
    """A LayerNorm of one row that the next one writes over, before the instruction that wants it has read it."""
    to = started()
    to.norm("exit")
    to.norm("next")
    to.linear("down", Rows(tensor="exit", count=1), (16, 16), Codes(), "mlp", rows=1)
    into = Residual(into=Rows(tensor=to.residual, first=7, count=1), rows=8)
    to.linear("up", Rows(tensor="down", count=1), (16, 16), into, "mlp", rows=1)
    adapter(to, "late", "next")
    walk = walked(to)
    good = lowered(walk)
    assert [step.fields["dst_base"] for step in good if step.opcode is Opcode.LAYERNORM][:2] == [0, 1]
    second = [step.name for step in good].index("next")
    assert checked(good, SIM).hazards == []
    bad = changed(good, "next", dst_base=0)
    found = checked(bad, SIM).hazards
    assert [hazard.text for hazard in found][:1] == [
        f"down (LINEAR {second + 1}) does not wait until next (LAYERNORM {second}) is done with norm word 0"
    ]


def _twice(arch: ArchConfig, outputs: int, rows: int) -> tuple[list[Step], ArchConfig]:
    """Two LINEARs that add to the same rows, directly behind each other."""
    to = Builder((TASK,))
    Embed(height=8 * rows, width=16, patch=8, dim=outputs, class_token="none").add_to(to)
    to.norm("one")
    to.linear("codes", "one", (outputs, 8), Codes(), "mlp")
    to.linear("first", "codes", (8, outputs), to.added(), "mlp")
    to.linear("second", "codes", (8, outputs), to.added(), "mlp")
    walk = replace(walked(to), arch=arch)
    return lowered(walk), arch


@pytest.mark.parametrize(("tiles", "waits"), [(1, Counter.RESIDUAL), (2, Counter.RESIDUAL), (3, 0)])
def test_sums_that_are_still_on_their_way(tiles: int, waits: int):
    """The post-processor reads a word four cycles before it writes it: two tiles of two cycles are just too near."""
    steps, arch = _twice(replace(SIM, token_lanes=2), 16 * tiles, 1)
    program = checked(steps, arch)
    assert program.hazards == []
    second = next(step for step in program.steps if step.name == "second")
    assert second.every["wait_b"] == waits
    if waits:
        assert second.fields["wait_b_base"] == 3 * 2  # position, patches, and the first
        assert "residual word" in checked(steps, arch, repair=False).hazards[0].text


def test_a_change_reaches_to_the_last_row():
    to = started()
    to.norm("one")
    to.linear("codes", "one", (16, 8), Codes(), "mlp")
    into = Residual(into=Rows(tensor=to.residual, first=2, count=3), rows=8)
    to.linear("back", Rows(tensor="codes", count=3), (8, 16), into, "mlp", rows=3)
    says = "back: changes rows 2..4 of patch_embed, which has 8; a change reaches to the last row, since rows are"
    assert [text for text in problems(walked(to).network, SIM) if text.startswith(says)]


def test_io_waits_for_everyone_who_uses_what_it_loads():
    """A second image over the first, a second position table, a table again: each without and with the wait."""
    good = lowered(walked(started()))
    at = next(index for index, step in enumerate(good) if step.opcode is Opcode.LINEAR) + 1
    for name, what in (("patches", "activation"), ("position", "counter RESIDUAL"), ("tables.rsqrt", "table rsqrt")):
        again = replace(next(step for step in good if step.name == name), name="again")
        spot = at if name != "tables.rsqrt" else [step.name for step in good].index("store")
        steps = [*good[:spot], again, *good[spot:]]
        found = [hazard for hazard in checked(steps, SIM, repair=False).hazards if hazard.second == spot]
        assert what in found[0].text
        waiting = checked(steps, SIM).steps[spot]
        assert waiting.every["wait_b"]


def test_one_write_port():
    """IO and the post-processor write different words of the activation buffer, and yet one after the other."""
    to = started()
    Block(heads=1, hidden=8).add_to(to)
    good = lowered(walked(to))
    spot = next(index for index, step in enumerate(good) if step.name == "blocks.0.query") + 1
    again = replace(next(step for step in good if step.name == "patches"), name="again")
    far = replace(again, fields={**again.fields, "dst_base": SIM.activation_words - 100})
    steps = [*good[:spot], far, *good[spot:]]
    found = [hazard.text for hazard in checked(steps, SIM, repair=False).hazards if hazard.second == spot]
    assert found == [
        f"again (LOAD_PATCHES {spot}) does not wait until blocks.0.query (LINEAR {spot - 1}) is done with the write"
        " port of activation"
    ]
    assert checked(steps, SIM).steps[spot].every["wait_b"] == Counter.QUERY


def test_regions_on_each_other():
    """The context of the first head on queries that are still to be read, and hidden units on the context."""
    to = started()
    Block(heads=4, hidden=8).add_to(to)
    walk = walked(to)
    steps, query = lowered(walk), allocate(walk).places["blocks.0.query"]
    bases = {step.name: step.fields.get("dst_base", 0) for step in steps}
    for head, found in ((0, False), (1, False), (2, True), (3, True)):
        bad = changed(steps, "blocks.0.context.0", dst_base=query.base + head)
        assert (checked(bad, SIM).hazards != []) is found, head
    assert checked(changed(steps, "blocks.0.norm2", dst_base=bases["blocks.0.norm1"]), SIM).hazards == []
    assert checked(changed(steps, "blocks.0.norm1", dst_base=1), SIM).hazards == []


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
    network = Network(tuple(to.layers), ("map",))
    says = "early is read when 32,776 rows of HIDDEN have been counted since it was begun; waits reach back 32,767"
    assert problems(network, SIM) == [says]


def _counting_on(behind: int) -> list[Step]:
    """32,760 rows are counted, a table waits for the first of them, then others are counted that wait for nobody."""
    steps = lowered(walked(started()))
    (table,) = (step for step in steps if step.name == "tables.exp2")
    fields = {
        "destination": Destination.HIDDEN,
        "in_chunks": 1,
        "out_tiles": 1,
        "source": Source.ACTIVATION,
        "src_base": 2**15,
    }
    linear = Step(opcode=Opcode.LINEAR, name="many", fields={**fields, "dst_stride": 1, "rows": 4095})
    late = replace(table, name="late", fields={**table.fields, "wait_b": Counter.HIDDEN, "wait_b_base": 1})
    counting = [replace(linear, name=f"many.{number}") for number in range(8)]
    return [*counting, late, replace(linear, name="behind", fields={**linear.fields, "rows": behind})]


@pytest.mark.parametrize(("behind", "reaches"), [(8, True), (9, False)])
def test_a_counter_that_runs_ahead_of_a_wait(behind: int, reaches: bool):
    """Differences are signed: 32,767 counts after the one that is waited for, the next would undo the wait."""
    found = checked(_counting_on(behind), SIM).hazards
    text = "late (LOAD_TABLE 8) waits for HIDDEN 1, which may stand at 32,769 then; waits reach back 32,767"
    assert [hazard.text for hazard in found] == ([] if reaches else [text])


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
