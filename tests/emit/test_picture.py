"""The picture is the machine: every memory and every room, and the arrows that the declarations ask for."""

import re

import pytest

from hwgen.emit.picture import FOLDED, drawn, fold, picture
from hwgen.emit.verilog import units
from hwgen.emit.wires import DDR, MEMORY_ROOM, Station, arrows, read_arrows
from hwgen.rtl.core import Core
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.buffers import MEMORIES, RINGS
from hwgen.spec.destinations import DESTINATIONS
from hwgen.spec.ops.linear import SOURCES
from hwgen.spec.trace import SHARED

LINE = re.compile(r'    (\w+)(\(\["[\w, ]+"\]\)|\[\("[\w, ]+"\)\]|\["\w+: \w+"\]| (?:-->|-\.->) \w+)')
ROOMS = {module.partition(".")[0] for module, _ in units() if "." in module} - {"lib", "axi"}
UNITS = {
    "AttentionObserver",
    "ExpertQueues",
    "GateUnit",
    "IoEngine",
    "LayerNorm",
    "MacArray",
    "OperandLoader",
    "PostProcessor",
    "Sequencer",
    "SoftmaxStatistics",
    "TokenUnit",
    "WeightLoader",
}


def _targets(name: str) -> set[str]:
    return {target.name for source, target in drawn() if source.name == name}


def _sources(name: str) -> set[str]:
    return {source.name for source, target in drawn() if target.name == name}


def test_every_memory_room_and_unit_is_named():
    text = picture()
    labels = re.findall(r'"(.+)"', text)
    places = [name for label in labels for name in label.rpartition(": ")[2].split(", ")]
    assert sorted(places) == sorted({DDR.name, *MEMORIES, *UNITS})
    assert {label.partition(": ")[0] for label in labels if ":" in label} == ROOMS - {MEMORY_ROOM}
    assert len(labels) <= 24


def test_a_unit_is_named_after_its_class_and_its_room():
    known = {(unit.__name__, module.partition(".")[0]) for module, unit in units()}
    found = {(place.name, place.room) for arrow in arrows() for place in arrow if place.room not in ("", MEMORY_ROOM)}
    assert found <= known
    assert set(FOLDED) <= {name for name, _ in found}


def test_every_line_is_a_node_or_an_arrow_between_nodes():
    first, second, *lines, last = picture().splitlines()
    assert (first, second, last) == ("```mermaid", "flowchart TD", "```")
    found = [LINE.fullmatch(line) for line in lines]
    assert None not in found
    nodes = {match[1] for match in found if match and not match[2].startswith(" ")}
    ends = {name for match in found if match and match[2].startswith(" ") for name in (match[1], match[2].split()[1])}
    assert len(nodes) > 15
    assert ends == nodes


@pytest.mark.parametrize("name", MEMORIES)
def test_every_memory_is_written_and_read(name: str):
    assert _sources(name)
    assert _targets(name)


def test_the_post_processor_writes_the_buffers_of_the_destinations():
    buffers = {item.buffer.name for item in DESTINATIONS.values() if item.buffer}
    assert _targets("PostProcessor") & set(MEMORIES) == buffers


def test_the_weight_loader_fills_the_rings_and_nothing_else():
    assert _targets("WeightLoader") == {ring.name for ring in RINGS}
    assert all(_sources(ring.name) == {"WeightLoader"} for ring in RINGS)


def test_operands_come_from_the_sources_of_linear():
    assert {memory.name for memory in SOURCES.values()} <= _sources("OperandLoader")


def test_instructions_go_to_every_queue():
    dotted = re.findall(r"(\w+) -\.-> (\w+)", picture())
    assert {source for source, _ in dotted} == {"Sequencer"}
    assert {target for _, target in dotted} == {"WeightLoader", "IoEngine", "OperandLoader", "LayerNorm", "TokenUnit"}


def test_lanes_and_ports_change_no_arrow():
    assert ARCHS["sim-2x16x16"].weight_ports != ARCHS["sim"].weight_ports
    assert read_arrows(ARCHS["sim-2x16x16"]) == arrows()


def test_a_wire_that_is_cut_is_an_arrow_less(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Core, "_attention", lambda *_: None)
    lost = {(source.name, target.name) for source, target in arrows() - read_arrows(ARCHS["sim"])}
    assert lost == {
        ("PostProcessor", "SoftmaxStatistics"),
        ("SoftmaxStatistics", "row_factor"),
        ("PostProcessor", "AttentionObserver"),
        ("AttentionObserver", "TokenUnit"),
        ("TokenUnit", "list"),
        ("list", "TokenUnit"),
    }


def test_arrows_go_on_past_what_is_folded():
    a, b, c, d = (Station(name, "lib") for name in "abcd")
    assert fold([(a, b), (b, c), (c, d), (c, a)], ["b", "c"]) == {(a, d)}


def test_memories_with_two_writers_are_watched():
    """Those whose writers the trace compares in every cycle."""
    assert {name for name in MEMORIES if len(_sources(name)) > 1} == {memory.name for memory in SHARED}
