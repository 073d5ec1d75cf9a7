"""Functions that the machine takes from tables."""

import math

from website.svg import Sheet

LEFT, TOP, WIDE, HIGH = 60.0, 24.0, 560.0, 250.0
LEAST, MOST = -4.0, 4.0
BELOW = 0.6  # of zero, on the vertical axis
ENTRIES_UP_TO = 5.5  # the table of docs/numerics.md ends here
MAGNIFIED = 10


def _gelu(x: float) -> float:
    return x * 0.5 * (1 + math.erf(x / math.sqrt(2)))


def _x(value: float) -> float:
    return LEFT + WIDE * (value - LEAST) / (MOST - LEAST)


def _y(value: float) -> float:
    return TOP + HIGH * (MOST - value) / (MOST + BELOW)


def gelu() -> str:
    """ReLU, GELU, and the difference that lies in the table, magnified."""
    sheet = Sheet(LEFT + WIDE + 130, TOP + HIGH + 16, "GELU is ReLU minus a small even function")
    for value in range(int(LEAST), int(MOST) + 1):
        sheet.lines([(_x(value), _y(-0.08)), (_x(value), _y(0.08))])
        sheet.text((_x(value), _y(0) + 20), str(value), "small", 11)
    sheet.lines([(LEFT, _y(0)), (LEFT + WIDE, _y(0))])
    grid = [LEAST + (MOST - LEAST) * step / 320 for step in range(321)]
    sheet.lines([(_x(x), _y(max(x, 0.0))) for x in grid], "two-line")
    sheet.lines([(_x(x), _y(_gelu(x))) for x in grid], "one-line")
    sheet.lines([(_x(x), _y(MAGNIFIED * (max(x, 0.0) - _gelu(x)))) for x in grid], "three-line")
    for line, (kind, words) in enumerate((("two", "ReLU"), ("one", "GELU"), ("three", f"ReLU - GELU, x {MAGNIFIED}"))):
        y = TOP + 14 + 24 * line
        sheet.box((LEFT + 20, y - 10), (18, 12), kind, 2)
        sheet.text((LEFT + 46, y), words, "", 13, "start")
    return sheet.html()
