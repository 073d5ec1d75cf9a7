"""What feeds the unified compute unit, and where its rows go."""

from hwgen.spec.destinations import DESTINATIONS
from website.svg import Sheet

ROWS = (
    "norm buffer: LINEAR, EXPERTS",
    "activation buffer: LINEAR",
    "activation buffer: SCORES (queries)",
    "score buffer: CONTEXT",
)
COLUMNS = ("weight ring: LINEAR, EXPERTS", "key buffer: SCORES", "value buffer: CONTEXT")


def drawing() -> str:
    """Operands on the left and above, the array, the post-processor, destinations on the right."""
    sheet = Sheet(880, 370, "One array for every product of the network")
    for place, words in enumerate(ROWS):
        sheet.labelled((10, 130 + place * 42), (226, 32), words, "box", 12)
        sheet.arrow([(236, 146 + place * 42), (296, 208)])
    for place, words in enumerate(COLUMNS):
        sheet.labelled((250 + place * 206, 14), (196, 32), words, "box", 12)
        sheet.arrow([(348 + place * 206, 46), (390 + place * 14, 132)])
    sheet.labelled((298, 132), (192, 150), "MAC array\nPt x Pi x Po\nmultiplications a cycle", "one", 14)
    sheet.arrow([(490, 208), (538, 208)])
    sheet.labelled(
        (540, 132), (150, 150), "post-processor\n(x + bias) * M >> S\nGELU | score | 1\n+ residual, saturate", "two", 13
    )
    names = [name.name for name in DESTINATIONS]
    high = 26.0
    for place, name in enumerate(names):
        y = 66 + place * (high + 3)
        sheet.labelled((760, y), (110, high), name, "box", 11)
        sheet.arrow([(690, 208), (758, y + high / 2)])
    sheet.text((394, 306), "rows of A (Pt tokens)", "small", 12)
    return sheet.html()
