"""How what does not fit is cut: most of a layer that one instruction takes, and even runs of tiles and rows."""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Most of a layer that one instruction takes; None: what fits. What is no larger stays whole.

    The bits are the same whatever the parts. Weights of half a ring are loaded while those before them are used.
    """

    weight_words: int | None = None  # ring words of the weights of a LINEAR; an output tile is never cut
    query_rows: int | None = None  # queries of a head
    hidden_rows: int | None = None  # rows between two linear layers that can take turns (`hwgen.compiler.lower.pair`)


WHOLE = Parts()


def even(count: int, most: int) -> list[range]:
    """``count`` things in as few runs of at most ``most`` as there can be, as even as they can be."""
    runs = -(-count // most)
    return [range(first, end) for first, end in pairwise(count * number // runs for number in range(runs + 1))]


def row_runs(rows: int, most: int, lanes: int) -> list[range]:
    """Rows in even runs of at most ``most``; of whole tiles of ``lanes`` rows, but for the last, where one fits."""
    if most >= rows:
        return [range(rows)]
    if most < lanes:
        return even(rows, most)
    return [range(run.start * lanes, min(run.stop * lanes, rows)) for run in even(-(-rows // lanes), most // lanes)]


def word_runs(groups: int, words: int, most: int) -> list[range]:
    """The words of a row, ``groups`` times ``words`` of them, in even runs of whole groups or within a group.

    ``most``: words of a run. A run never holds the end of one group and the beginning of another, so that a group
    and a column say where it lies (`hwgen.compiler.listing.Produced`).
    """
    if words <= most:
        return [range(run.start * words, run.stop * words) for run in even(groups, most // words)]
    return [
        range(group * words + run.start, group * words + run.stop)
        for group in range(groups)
        for run in even(words, most)
    ]
