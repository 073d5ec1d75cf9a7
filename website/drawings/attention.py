"""Which lane of the array meets which keys when: the plain order, and the one of docs/architecture.md."""

from dataclasses import dataclass

from website.svg import Sheet

LANES, KEY_TILES, QUERIES = 4, 6, 8
COLOURS = ("one", "two", "three", "four")
CELL, LEFT, TOP = 38.0, 150.0, 34.0


@dataclass(frozen=True)
class Work:
    """What a lane does in a step."""

    query: int
    key_tile: int


def reordered(lanes: int, key_tiles: int, queries: int) -> list[list[Work | None]]:
    """Lane -> step -> work: in step (b, k) lane o has query b * lanes + o if k >= o, else that of the block before."""
    blocks = -(-(queries + lanes - 1) // lanes)
    found: list[list[Work | None]] = [[] for _ in range(lanes)]
    for block in range(blocks):
        for tile in range(key_tiles):
            for lane in range(lanes):
                query = (block if tile >= lane else block - 1) * lanes + lane
                found[lane].append(Work(query, tile) if 0 <= query < queries else None)
    last = max(step for row in found for step, work in enumerate(row) if work is not None)
    return [row[: last + 1] for row in found]


def in_order(lanes: int, key_tiles: int, queries: int) -> list[list[Work | None]]:
    """Lane -> step -> work when every lane begins a block in its first step."""
    steps = [(block, tile) for block in range(queries // lanes) for tile in range(key_tiles)]
    return [[Work(block * lanes + lane, tile) for block, tile in steps] for lane in range(lanes)]


def entering(work: list[list[Work | None]], step: int) -> list[int]:
    """Queries whose first keys are met in a step: rows that must have been read."""
    now = {row[step].query for row in work if row[step] is not None}  # pyright: ignore[reportOptionalMemberAccess]
    before = {item.query for row in work for item in row[:step] if item is not None}
    return sorted(now - before)


def tiles_read(work: list[list[Work | None]], step: int) -> list[int]:
    """Key tiles that the lanes need in a step."""
    return sorted({item.key_tile for row in work if (item := row[step]) is not None})


def _schedule(work: list[list[Work | None]], title: str) -> str:
    steps = len(work[0])
    sheet = Sheet(LEFT + steps * CELL + 12, TOP + (LANES + 2) * CELL + 16, title)
    sheet.text((LEFT - 12, TOP - 12), "step", "small", 12, "end")
    for step in range(steps):
        sheet.text((LEFT + (step + 0.5) * CELL, TOP - 12), str(step), "small", 12)
    for lane, row in enumerate(work):
        y = TOP + lane * CELL
        sheet.text((LEFT - 12, y + CELL * 0.6), f"lane {lane}", "", 13, "end")
        for step, item in enumerate(row):
            place, size = (LEFT + step * CELL + 1, y + 1), (CELL - 2, CELL - 2)
            kind = "none" if item is None else COLOURS[(item.query // LANES * 2 + item.query % 2) % len(COLOURS)]
            sheet.labelled(place, size, "" if item is None else f"q{item.query}\nk{item.key_tile}", kind, 11)
    for line, (label, asked, letter) in enumerate(
        (("query rows read", entering, "q"), ("key tiles read", tiles_read, "k"))
    ):
        y = TOP + (LANES + line + 0.75) * CELL
        sheet.text((LEFT - 12, y), label, "", 13, "end")
        for step in range(steps):
            found = asked(work, step)
            words = f"{letter}{found[0]}" if len(found) == 1 else f"{len(found)} rows" if found else ""
            sheet.text((LEFT + (step + 0.5) * CELL, y), words, "" if len(found) < 2 else "many", 12)
    return sheet.html()


def drawing() -> str:
    """The reordered schedule."""
    return _schedule(reordered(LANES, KEY_TILES, QUERIES), "One query row and one key tile are read in every step")


def plain() -> str:
    """The schedule that has no order of its own."""
    return _schedule(in_order(LANES, KEY_TILES, QUERIES), "All lanes need a new query row in the same step")
