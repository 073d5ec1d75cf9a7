"""Two linear layers block by block: which, in which blocks, and that nothing is written over before it is read."""

from dataclasses import replace

import pytest

from hwgen.compiler.allocate import allocate
from hwgen.compiler.blocks import blocked
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.compiler.fit import problems
from hwgen.compiler.listing import ListingEntry
from hwgen.compiler.lower.linear import streams
from hwgen.compiler.lower.pair import pairs
from hwgen.compiler.parts import Parts
from hwgen.compiler.walk import Walk
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS, KIB
from hwgen.spec.constructors import Builder, Embed, Heads
from hwgen.spec.graph import Network
from hwgen.spec.graph_model import GraphModel
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.layers import Attention, Codes, Gelu, Layer, Linear, Residual, Rows
from hwgen.spec.model import TaskConfig
from hwgen.spec.presets import M3VIT_MICRO
from tests.compiler.programs import CONFIGS, check_ends
from tests.golden.random_graphs import random_graph
from tests.golden.random_package import random_package
from tests.golden.test_random_graphs import NAMES, check_compiled
from tests.unchecked import unchecked

SIM = ARCHS["sim"]
DENSE = replace(M3VIT_MICRO, name="dense", moe_blocks=())


def mlp(compiled: Compiled) -> list[ListingEntry]:
    """The LINEARs of the first MLP."""
    listing = compiled.programs["seg"].listing
    return [item for item in listing if item.opcode is Opcode.LINEAR and item.name.startswith("blocks.0.fc")]


def cut(model: GraphModel, arch: ArchConfig, parts: Parts) -> dict[str, list[int]]:
    """First layer of a pair -> rows of its blocks."""
    network = model.network
    walk = blocked(Walk(network=network, task=network.tasks[0], arch=arch, parts=parts))
    return {name: [len(block) for block in blocks] for name, blocks in walk.blocks.items()}


def test_blocks_of_hidden_rows():
    """65 rows of 16 words; a buffer of 800 words holds 50 of them: two blocks, one tile of rows more in one."""
    compiled = compile_model(random_package(DENSE), replace(SIM, activation_bytes=800 * 16))
    items = mlp(compiled)
    names = ["fc1.rows0-31", "fc2.rows0-31", "fc1.rows32-64", "fc2.rows32-64"]
    assert [item.name for item in items] == [f"blocks.0.{name}" for name in names]
    assert [item.fields["rows"] for item in items] == [32, 32, 33, 33]
    one, two = items[0].fields, items[2].fields
    assert (one["dst_base"], two["dst_base"]) == (items[1].fields["src_base"], items[3].fields["src_base"]) == (0, 0)
    assert two["src_base"] - one["src_base"] == 32 * 4  # norm
    assert items[3].fields["dst_base"] - items[1].fields["dst_base"] == 32 * 4  # stream
    waits = [(item.fields["wait_a"], item.fields["wait_a_base"]) for item in items]
    assert waits == [(Counter.NORM, 65), (Counter.HIDDEN, 0), (Counter.NORM, 97), (Counter.HIDDEN, 32)]
    norm = next(item for item in compiled.programs["seg"].listing if item.name == "blocks.1.norm1" and item.produced)
    assert norm.fields["wait_a_base"] == 65 + 64 + 65  # as of a whole layer
    whole = compile_model(random_package(DENSE), SIM).programs["seg"]
    assert compiled.programs["seg"].macs == whole.macs
    loads = [item.name for item in compiled.programs["seg"].listing if item.opcode is Opcode.LOAD_WEIGHTS]
    assert loads.count("blocks.0.fc1") == loads.count("blocks.0.fc2") == 2


def test_blocks_and_tiles():
    """Rows are done with the last part of the weights of their block; and the stream is waited for by that."""
    compiled = compile_model(random_package(DENSE), SIM, Parts(hidden_rows=34, weight_words=64))
    ends = [item.name.removeprefix("blocks.0.") for item in mlp(compiled)]
    tiles = {"fc1": ("0-7", "8-15"), "fc2": ("0-1", "2-3")}
    blocks = ("rows0-31", "rows32-64")
    assert ends == [f"{layer}.tiles{run}.{block}" for block in blocks for layer in tiles for run in tiles[layer]]
    assert [item.fields["wait_a_base"] for item in mlp(compiled)][2:4] == [32, 32]
    norm = next(item for item in compiled.programs["seg"].listing if item.name == "blocks.1.norm1" and item.produced)
    assert norm.fields["wait_a_base"] == 65 + 2 * 64 + 65 + 65  # late enough for row 31: all of fc2 but 65 rows, and 32


@pytest.mark.parametrize(("hidden_rows", "kept"), [(1, False), (2, False), (4, True)])
def test_weights_of_a_tile_of_rows_are_used_once(hidden_rows: int, kept: bool):
    """Both layers of a pair have a tile of rows at a time, so that the ring need not hold all of their weights."""
    network = DENSE.network
    walk = blocked(Walk(network=network, task="seg", arch=SIM, parts=Parts(hidden_rows=hidden_rows)))
    pair = next(pairs(walk))
    assert [stream.sections[0].kept for layer in (pair.first, pair.second) for stream in streams(walk, layer)] == [
        kept,
        kept,
    ]


def test_what_remains_is_one_row():
    """200 words; queries and contexts take less, and so do patches of one colour."""
    wide = replace(DENSE, image_height=32, image_width=32, channels=1, dim=16, heads=1, mlp_hidden=3200)
    machine = replace(SIM, max_inputs=3200, activation_bytes=200 * 16)
    assert cut(wide, machine, Parts()) == {f"blocks.{number}.fc1": [1] * 17 for number in range(4)}
    says = "blocks.0.hidden needs 3,200 B of the activation buffer, this arch has 3,184; set activation_bytes >= 3200"
    assert says in problems(wide.network, replace(machine, activation_bytes=199 * 16))


def test_experts_keep_their_hidden_rows():
    """They are one instruction: rows by their place in the queue."""
    says = (
        "blocks.1.hidden needs 16,640 B of the activation buffer, this arch has 16,384; set activation_bytes >= 16640"
    )
    network = replace(M3VIT_MICRO, mlp_hidden=512, expert_hidden=256).network
    assert problems(network, replace(SIM, max_inputs=512, activation_bytes=16384)) == [says]


def test_more_words_than_addresses():
    """Instructions reach 65,536 words, which are 512 rows of 128, however large the buffer is."""
    large = replace(DENSE, image_height=248, image_width=256, mlp_hidden=1024)
    machine = unchecked(SIM, output_lanes=8, activation_bytes=2**24)
    assert cut(large, machine, Parts())["blocks.0.fc1"] == [496, 497]


def built(finish: Codes | Gelu, first: int, between: int = 40, out: int = 0) -> GraphModel:
    """A list with one pair: 24 channels; the second adds rows ``first`` on, or leaves ``out`` codes for a third."""
    task = TaskConfig(name="map", kind="segmentation", classes=2, cell=2)
    to = Builder((task,))
    Embed(height=32, width=32, patch=8, dim=24, channels=1, class_token="learned").add_to(to)
    to.norm("norm.a")
    to.linear("one", "norm.a", (24, between), finish, "mlp")
    left = to.rows - first
    into = Residual(into=Rows(tensor=to.residual, first=first, count=left), rows=to.rows)
    if out:
        to.linear("two", "one", (between, out), Codes(), "mlp")
        to.linear("three", Rows(tensor="two", first=first), (out, 24), into, "mlp", rows=left)
    else:
        to.linear("two", Rows(tensor="one", first=first), (between, 24), into, "mlp", rows=left)
    Heads().add_to(to)
    return GraphModel(name="built", layers=tuple(to.layers), tasks=(task,))


@pytest.mark.parametrize("hidden_rows", [1, 4, 7])
@pytest.mark.parametrize("first", [0, 1, 5, 16])
def test_rows_of_a_stream_in_part(first: int, hidden_rows: int):
    """Blocks of which nobody reads a row are made all the same, and change nothing."""
    model = built(Gelu(), first)
    compiled = compile_model(random_package(model, 5), ARCHS["sim-4x8x16"], Parts(hidden_rows=hidden_rows))
    check_compiled(compiled, 5)
    check_ends(compiled)


@pytest.mark.parametrize("hidden_rows", [1, 5])
@pytest.mark.parametrize("first", [0, 3])
def test_codes_behind_codes(first: int, hidden_rows: int):
    """What the second leaves in the activation buffer lies on nothing that the first still reads or leaves."""
    model = built(Codes(heads=2), first, out=20)
    arch = ARCHS["sim-3x8x16"]
    walk = blocked(Walk(network=model.network, task="map", arch=arch, parts=Parts(hidden_rows=hidden_rows)))
    assert [pair.first.name for pair in pairs(walk)] == ["one", "two"]
    assert list(walk.blocks) == ["one"]  # a layer is in one pair at a time
    compiled = compile_model(random_package(model, 6), arch, Parts(hidden_rows=hidden_rows))
    check_compiled(compiled, 6)


@pytest.mark.parametrize(("readers", "in_blocks"), [(1, "two"), (2, "one")])
def test_a_block_leaves_room_for_what_is_behind(readers: int, in_blocks: str):
    """What the second layer leaves is cut itself, if it can be; else there are fewer rows before it.

    17 rows of four words and 17 of three; a buffer of one word less than that.
    """
    model, arch = built(Gelu(), 0, 64, out=48), replace(ARCHS["sim-4x8x16"], activation_bytes=17 * 7 * 16 - 16)
    if readers == 2:
        *layers, third, norm, head = model.layers
        fourth = replace(
            third, name="four", writes="four", finish=replace(third.finish, into=Rows(tensor=third.writes))
        )
        norm = replace(norm, source=replace(norm.source, tensor="four"))
        model = replace(model, layers=(*layers, third, fourth, norm, head))
    walk = blocked(Walk(network=model.network, task="map", arch=arch))
    assert list(walk.blocks) == [in_blocks]
    assert all(place.end <= place.memory.words(arch) for place in allocate(walk).places.values())
    check_compiled(compile_model(random_package(model, 8), arch), 8)


def test_what_the_first_still_reads_stays():
    """Nobody but the first layer reads ``zero`` any more, and the second one's rows are three times as long.

    In the buffer lie zero, a gap that one block does not fit, and codes that are needed later.
    """
    *layers, one, two, three, norm, head = built(Gelu(), 0, 192, out=48).layers

    def codes(name: str, outputs: int) -> Linear:
        return replace(one, name=name, writes=name, outputs=outputs, finish=Codes())

    def added(name: str, source: str, inputs: int, into: str) -> Linear:
        finish = replace(three.finish, into=Rows(tensor=into))
        return replace(three, name=name, writes=name, source=Rows(tensor=source), inputs=inputs, finish=finish)

    stream = three.finish.into.tensor
    chain = (
        *(codes("zero", 16), codes("gap", 32), codes("kept", 16)),
        *(added("add.gap", "gap", 32, stream), added("add.zero", "zero", 16, "add.gap")),
        *(replace(one, source=Rows(tensor="zero"), inputs=16), two, added("three", "two", 48, "add.zero")),
        added("four", "kept", 16, "three"),
    )
    norm = replace(norm, source=replace(norm.source, tensor="four"))
    model = replace(built(Gelu(), 0), layers=(*layers, *chain, norm, head))
    parts, arch = Parts(hidden_rows=4), ARCHS["sim-4x8x16"]
    assert cut(model, arch, parts) == {"one": [4, 4, 4, 4, 1]}
    check_compiled(compile_model(random_package(model, 4), arch, parts), 4)


def found_pairs(*layers: Layer) -> list[tuple[str, str]]:
    """Pairs of a list with one task."""
    walk = Walk(network=Network(layers, ("map",)), task="map", arch=SIM)
    return [(pair.first.name, pair.second.name) for pair in pairs(walk)]


def test_what_is_a_pair():
    network = CONFIGS["odd"].network
    walk = Walk(network=network, task=network.tasks[0], arch=SIM)
    assert [(pair.first.name, pair.second.name) for pair in pairs(walk)] == [("blocks.0.fc1", "blocks.0.fc2")]


def test_two_readers_are_no_pair():
    *layers, first, second, norm, head = built(Gelu(), 0).layers
    assert found_pairs(*layers, first, second, norm, head) == [("one", "two")]
    into = Rows(tensor="two")
    third = replace(second, name="again", writes="again", finish=replace(second.finish, into=into))
    norm = replace(norm, source=replace(norm.source, tensor="again"))
    assert found_pairs(*layers, first, second, third, norm, head) == []


def test_results_are_no_pair():
    *layers, head = built(Gelu(), 0).layers
    codes = replace(head, name="codes", writes="codes", outputs=24, finish=Codes(), task=None)
    head = replace(head, source=Rows(tensor="codes"))
    assert found_pairs(*layers, codes, head) == [("one", "two")]


def test_keys_are_no_pair():
    """They lie in banks, which count rows from the first of an instruction."""
    *layers, first, second, norm, head = built(Codes(), 0, between=24).layers
    square = replace(second, finish=Codes(heads=1))
    key = replace(square, name="key", writes="key")
    query, value = (replace(key, name=name, writes=name, source=first.source) for name in ("query", "value"))
    rows = {item.name: Rows(tensor=item.writes) for item in (query, key, value)}
    many = {"queries": first.rows, "keys": first.rows, "heads": 1, "columns": 24, "scores": "scores"}
    attention = Attention(name="attention", writes="context", **rows, **many)
    proj = replace(second, source=Rows(tensor="context"))
    assert found_pairs(*layers, first, key, query, value, attention, proj, norm, head) == []


@pytest.mark.parametrize("hidden_rows", [1, 2, 5])
@pytest.mark.parametrize("name", ["sim-1x8x64", "sim-3x8x16", "sim-4x8x16"])
@pytest.mark.parametrize("model", ["odd", "mixed-bits"])
def test_the_same_bits(model: str, name: str, hidden_rows: int):
    parts = Parts(hidden_rows=hidden_rows, weight_words=5, query_rows=2 * hidden_rows)
    compiled = compile_model(random_package(CONFIGS[model], 9), ARCHS[name], parts)
    check_compiled(compiled, 9)
    check_ends(compiled)


@pytest.mark.parametrize("seed", range(12))
def test_random_lists_in_parts(seed: int):
    """Networks of every kind, in parts of every size."""
    arch = ARCHS[NAMES[seed % len(NAMES)]]
    parts = Parts(hidden_rows=1 + seed % 5, weight_words=1 + 3 * (seed % 4), query_rows=1 + seed % 3)
    compiled = compile_model(random_package(random_graph(seed, arch), seed), arch, parts)
    check_compiled(compiled, seed)
    check_ends(compiled)


def test_on_the_least_machine():
    """Everything that can be cut is: rings, scores and activation buffer as small as the refusals say."""
    small = {"ring_bytes": KIB, "param_entries": 2, "score_words": 2, "activation_bytes": KIB}
    arch = replace(SIM, **small)
    for text in problems(DENSE.network, arch):
        field, _, value = text.partition("; set ")[2].partition(" >= ")
        small[field] = max(small[field], int(value))
    arch = replace(SIM, **small)
    assert all(small[field] < getattr(SIM, field) for field in small if field != "ring_bytes")
    compiled = compile_model(random_package(DENSE, 1), arch)
    check_compiled(compiled, 1)
    check_ends(compiled)
