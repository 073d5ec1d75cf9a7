"""Which pairs of linear layers go block by block, and in which blocks: the largest with which everything fits."""

from bisect import bisect_left
from dataclasses import replace

from hwgen.compiler.allocate import by_program
from hwgen.compiler.lower.pair import Pair, blocked_pairs, pairs
from hwgen.compiler.parts import row_runs
from hwgen.compiler.walk import Walk
from hwgen.spec.buffers import ACTIVATION, ADDRESS_WORDS


def blocked(walk: Walk) -> Walk:
    """The walk, with blocks for pairs whose rows do not fit the activation buffer beside what else is there."""
    found = list(pairs(walk))
    if walk.parts.hidden_rows is None and _fit(walk, *(tensor for pair in found for tensor in _leaves(pair))):
        return walk
    firsts = {pair.first.name for pair in found}
    for pair in found:
        if pair.first.name in {other.second.name for other in blocked_pairs(walk).values()}:
            continue  # its rows come in blocks as it is
        tensors = _leaves(pair)[: 1 if pair.second.name in firsts else 2]
        asked = walk.parts.hidden_rows
        walk = _in_blocks(walk, pair, _most(walk, pair, tensors, pair.first.rows if asked is None else asked))
    return walk


def _leaves(pair: Pair) -> tuple[str, str]:
    """What is in the activation buffer because of a pair; the second of them may be in the stream."""
    return pair.first.writes, pair.second.writes


def _most(walk: Walk, pair: Pair, tensors: tuple[str, ...], asked: int) -> int:
    """Rows of the largest block with which ``tensors`` fit; one row when none does, to say what is missing then.

    Fewer rows between two layers leave no less room for other rows.
    """
    sizes = range(1, min(asked, pair.first.rows) + 1)
    return max(1, bisect_left(sizes, True, key=lambda most: not _fit(_in_blocks(walk, pair, most), *tensors)))


def _in_blocks(walk: Walk, pair: Pair, most: int) -> Walk:
    """The walk with a pair in blocks of at most ``most`` rows; as it is when that is all of them."""
    runs = row_runs(pair.first.rows, most, walk.arch.token_lanes)
    return walk if len(runs) == 1 else replace(walk, blocks={**walk.blocks, pair.first.name: tuple(runs)})


def _fit(walk: Walk, *tensors: str) -> bool:
    """Whether those of the tensors that lie in the activation buffer end inside it, where instructions reach."""
    places, room = by_program(walk), min(ACTIVATION.words(walk.arch), ADDRESS_WORDS)
    found = (places[tensor] for tensor in tensors if tensor in places)
    return all(place.end <= room for place in found if place.memory is ACTIVATION)
