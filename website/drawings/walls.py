"""Where the cycles of an image go, from the kept figures of the benchmarks."""

from benchmarks.figures import Figures
from benchmarks.results import load
from website.svg import Sheet

LEFT, WIDE, ROW, TOP = 330.0, 480.0, 30.0, 48.0
PARTS = (
    ("useful products", "one"),
    ("products with padding", "three"),
    ("waiting for weights", "two"),
    ("other waits", "four"),
)


def shares(item: Figures) -> tuple[float, float, float, float]:
    """Of all cycles: full use, the array busy beyond that, waiting for weights, every other wait."""
    busy, weight = item.mac_cycles / item.cycles, item.exposed["weight"] / item.cycles
    return item.mac_utilisation, busy - item.mac_utilisation, weight, 1 - busy - weight


def drawing() -> str:
    """A bar for each case."""
    cases = list(load().values())
    sheet = Sheet(LEFT + WIDE + 110, TOP + ROW * len(cases) + 10, "Where the cycles of an image go")
    x = LEFT
    for words, kind in PARTS:
        sheet.box((x, 12), (14, 12), kind, 2)
        sheet.text((x + 20, 23), words, "", 12, "start")
        x += 34 + 6.2 * len(words)
    for place, item in enumerate(cases):
        y, x = TOP + ROW * place, LEFT
        sheet.text((LEFT - 10, y + 16), item.title, "", 12, "end")
        for share, (_, kind) in zip(shares(item), PARTS, strict=True):
            sheet.box((x, y), (WIDE * share, ROW - 8), kind, 0)
            x += WIDE * share
        sheet.text((LEFT + WIDE + 8, y + 16), f"{item.cycles:,} cycles", "small", 12, "start")
    return sheet.html()
