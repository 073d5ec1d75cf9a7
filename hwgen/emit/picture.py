"""The picture of the machine: a Mermaid flowchart of the wires that carry words between units and memories."""

from collections.abc import Iterable

from hwgen.emit.wires import DDR, MEMORY_ROOM, Arrow, Station, arrows
from hwgen.rtl.matmul.b_operand import BOperand
from hwgen.rtl.matmul.op_expander import OpExpander
from hwgen.rtl.matmul.operand_ram import OperandRam
from hwgen.rtl.matmul.tile_issuer import TileIssuer

# Units of the compute unit that stand between those of the picture: what they take goes on to whom they feed.
FOLDED = tuple(unit.__name__ for unit in (BOperand, OpExpander, OperandRam, TileIssuer))
CONTROL = "control"  # the room whose arrows are instructions
Box = tuple[Station, ...]  # memories with the same arrows share a box


def fold(found: Iterable[Arrow], names: Iterable[str]) -> set[Arrow]:
    """Arrows without the units of these names, past which those that led to them go on."""
    left = set(found)
    for name in names:
        into = {source for source, target in left if target.name == name}
        out = {target for source, target in left if source.name == name}
        left = {arrow for arrow in left if name not in (arrow[0].name, arrow[1].name)}
        left |= {(source, target) for source in into for target in out if source != target}
    return left


def drawn() -> set[Arrow]:
    """The arrows of the picture; the table of memories says the same."""
    return fold(arrows(), FOLDED)


def _in_order(found: set[Arrow]) -> list[Station]:
    """Stations as they are met on the way from DDR."""
    met = [DDR]
    for place in met:
        met += sorted({target for source, target in found if source == place} - set(met))
    return met


def _boxes(found: set[Arrow]) -> dict[Station, Box]:
    """Every station, in order, with the box that it is in."""
    boxes: dict[object, list[Station]] = {}
    for place in _in_order(found):
        into = frozenset(source for source, target in found if target == place)
        out = frozenset(target for source, target in found if source == place)
        boxes.setdefault((into, out) if place.room == MEMORY_ROOM else place, []).append(place)
    return {place: tuple(box) for box in boxes.values() for place in box}


def _id(box: Box) -> str:
    return "_".join(place.name for place in box)


def _node(box: Box) -> str:
    names = ", ".join(place.name for place in box)
    if box[0] == DDR:
        return f'{_id(box)}(["{names}"])'
    if box[0].room == MEMORY_ROOM:
        return f'{_id(box)}[("{names}")]'
    return f'{_id(box)}["{box[0].room}: {names}"]'


def boxes_and_arrows() -> tuple[list[Box], list[tuple[Box, Box]]]:
    """Boxes as they are met on the way from DDR, and the arrows between them in their order."""
    found = drawn()
    boxes = _boxes(found)
    order = list(dict.fromkeys(boxes.values()))
    ends = {(boxes[source], boxes[target]) for source, target in found}
    return order, sorted(ends, key=lambda pair: (order.index(pair[0]), order.index(pair[1])))


def is_instructions(source: Box) -> bool:
    """Whether the arrows from a box carry instructions."""
    return source[0].room == CONTROL


def picture() -> str:
    """The flowchart, as Markdown."""
    order, ends = boxes_and_arrows()
    lines = [_node(box) for box in order]
    lines += [f"{_id(source)} {'-.->' if is_instructions(source) else '-->'} {_id(target)}" for source, target in ends]
    return "```mermaid\nflowchart TD\n" + "".join(f"    {line}\n" for line in lines) + "```\n"
