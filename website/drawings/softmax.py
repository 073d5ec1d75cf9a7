"""One pass over a row of scores: what is kept while they go by, and what it makes of them, with golden's numbers."""

import numpy as np

from golden.softmax import FRACTION_BITS, WINDOW_OCTAVES, probabilities, softmax_statistics
from hwgen.spec.tables import exp2_table
from website.svg import Sheet

SCORES = (-70, 12, 44, -20, 96, 131, 60, -150, 20, 110, -6, 75)
LEFT, TOP, STEP, HIGH = 150.0, 30.0, 48.0, 150.0
LOW, TOP_SCORE = -160, 160


def _y(score: float) -> float:
    return TOP + HIGH * (TOP_SCORE - score) / (TOP_SCORE - LOW)


def drawing() -> str:
    """Bars are scores in 1/32 octave; below them what the two passes of the data path leave."""
    table, scores = exp2_table(), np.array(SCORES)
    found = softmax_statistics(table, scores)
    top = int(found.top)
    codes = probabilities(table, scores[None, :], np.array([top]))[0]
    sheet = Sheet(
        LEFT + STEP * len(SCORES) + 20, TOP + HIGH + 165, "Scores, their octaves, the running maximum, and codes"
    )
    for octave in range(LOW >> FRACTION_BITS, TOP_SCORE >> FRACTION_BITS):
        y = _y(octave << FRACTION_BITS)
        sheet.lines([(LEFT - 8, y), (LEFT + STEP * len(SCORES), y)], "grid")
        sheet.text((LEFT - 14, y - 3), f"octave {octave}", "small", 11, "end")
    seen = -99
    for place, (score, code) in enumerate(zip(SCORES, codes, strict=True)):
        x, octave = LEFT + STEP * (place + 0.5), score >> FRACTION_BITS
        seen = max(seen, octave)
        high, low = min(_y(score), _y(LOW)), _y(LOW)
        sheet.box((x - 11, high), (22, low - high), "one" if octave == top else "three" if code else "none", 2)
        for line, words in enumerate((str(score), str(octave), str(seen), str(int(code)))):
            sheet.text((x, TOP + HIGH + 26 + 26 * line), words, "", 13)
    for line, words in enumerate(("score t", "octave t >> 5", "largest so far", "probability code u")):
        sheet.text((LEFT - 14, TOP + HIGH + 26 + 26 * line), words, "", 12, "end")
    total = (
        f"kept of the row: largest octave {top}, and the exact sum of 2^(t/32), in units of 2^-28: {int(found.total):,}"
    )
    note = f"u is zero from {WINDOW_OCTAVES + 1} octaves below the largest one on"
    for line, words in enumerate((total, note)):
        sheet.text((LEFT, TOP + HIGH + 30 + 26 * 4 + 18 * line), words, "small", 12, "start")
    return sheet.html()
