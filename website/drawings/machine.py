"""The block diagram: boxes and arrows are read from the wires (hwgen.emit.picture), only places are chosen here."""

from hwgen.emit.picture import Box, boxes_and_arrows, is_instructions
from hwgen.emit.wires import DDR, MEMORY_ROOM
from website.svg import Point, Sheet

WIDTH, HEIGHT = 920.0, 646.0
SIZE: Point = (112.0, 36.0)
DDR_BOX: tuple[Point, Point] = ((30.0, 14.0), (840.0, 34.0))
PLACES: dict[str, Point] = {  # middle of a box, by the names in it
    "DDR": (450, 31),
    "IoEngine": (110, 110),
    "Sequencer": (400, 110),
    "WeightLoader": (700, 110),
    "residual": (90, 210),
    "activation": (260, 210),
    "norm_ring": (530, 210),
    "weight_ring": (660, 210),
    "param_ring": (790, 210),
    "LayerNorm": (90, 320),
    "norm": (250, 320),
    "OperandLoader": (430, 320),
    "MacArray": (630, 320),
    "PostProcessor": (810, 320),
    "ExpertQueues": (250, 430),
    "score": (400, 430),
    "row_factor": (530, 430),
    "key, value": (660, 430),
    "GateUnit": (250, 520),
    "SoftmaxStatistics": (530, 520),
    "TokenUnit": (90, 520),
    "list": (90, 610),
    "AttentionObserver": (530, 610),
}
ROUTES: dict[tuple[str, str], list[Point]] = {  # arrows that a straight line would draw across boxes
    ("DDR", "IoEngine"): [(90, 48), (90, 92)],
    ("IoEngine", "DDR"): [(120, 92), (120, 48)],
    ("DDR", "Sequencer"): [(400, 48), (400, 92)],
    ("DDR", "WeightLoader"): [(700, 48), (700, 92)],
    ("Sequencer", "LayerNorm"): [(370, 128), (370, 160), (172, 160), (172, 312), (146, 312)],
    ("norm_ring", "LayerNorm"): [(530, 228), (530, 246), (60, 246), (60, 302)],
    ("residual", "LayerNorm"): [(80, 228), (80, 302)],
    ("residual", "PostProcessor"): [(110, 228), (110, 262), (780, 262), (780, 302)],
    ("param_ring", "PostProcessor"): [(800, 228), (800, 302)],
    ("weight_ring", "MacArray"): [(645, 228), (645, 302)],
    ("PostProcessor", "residual"): [(820, 302), (820, 278), (130, 278), (130, 228)],
    ("PostProcessor", "activation"): [(820, 302), (820, 278), (280, 278), (280, 228)],
    ("PostProcessor", "IoEngine"): [(866, 320), (890, 320), (890, 72), (145, 72), (145, 92)],
    ("PostProcessor", "key, value"): [(790, 338), (790, 430), (716, 430)],
    ("PostProcessor", "score"): [(808, 338), (808, 474), (400, 474), (400, 448)],
    ("PostProcessor", "SoftmaxStatistics"): [(826, 338), (826, 520), (600, 520)],
    ("PostProcessor", "GateUnit"): [(844, 338), (844, 560), (250, 560), (250, 538)],
    ("key, value", "MacArray"): [(645, 412), (645, 338)],
    ("Sequencer", "TokenUnit"): [(358, 128), (358, 152), (164, 152), (164, 512), (146, 512)],
    ("residual", "TokenUnit"): [(34, 215), (18, 215), (18, 512), (34, 512)],
    ("TokenUnit", "residual"): [(34, 528), (8, 528), (8, 203), (34, 203)],
    ("TokenUnit", "list"): [(80, 538), (80, 592)],
    ("list", "TokenUnit"): [(100, 592), (100, 538)],
    ("PostProcessor", "AttentionObserver"): [(862, 338), (862, 610), (600, 610)],
    ("AttentionObserver", "TokenUnit"): [(460, 610), (178, 610), (178, 528), (146, 528)],
}


def name_of(box: Box) -> str:
    """Names of what is in a box."""
    return ", ".join(place.name for place in box)


def _size(name: str) -> Point:
    return (140.0, SIZE[1]) if len(name) > 15 else SIZE


def _clipped(start: Point, end: Point, size: Point) -> Point:
    """Where the line from ``start`` meets the border of the box around ``end``."""
    dx, dy = start[0] - end[0], start[1] - end[1]
    scale = min(size[0] / 2 / abs(dx) if dx else 1.0, size[1] / 2 / abs(dy) if dy else 1.0)
    return end[0] + dx * scale, end[1] + dy * scale


def _draw_box(sheet: Sheet, box: Box) -> None:
    name = name_of(box)
    if box[0] == DDR:
        sheet.labelled(*DDR_BOX, name, "none", 13)
        return
    middle, size = PLACES[name], _size(name)
    corner = (middle[0] - size[0] / 2, middle[1] - size[1] / 2)
    if box[0].room == MEMORY_ROOM:
        sheet.cylinder(corner, size, name)
    else:
        sheet.labelled(corner, size, f"{box[0].room}:\n{name}", "box", 11.5)


def drawing() -> str:
    """The machine; a box without a place is a KeyError."""
    order, arrows = boxes_and_arrows()
    sheet = Sheet(WIDTH, HEIGHT, "Units and memories, and the words that go between them")
    for source, target in arrows:
        ends = name_of(source), name_of(target)
        middle = PLACES[ends[0]], PLACES[ends[1]]
        straight = [_clipped(middle[1], middle[0], _size(ends[0])), _clipped(middle[0], middle[1], _size(ends[1]))]
        sheet.arrow(ROUTES.get(ends, straight), is_instructions(source))
    for box in order:
        _draw_box(sheet, box)
    return sheet.html()
