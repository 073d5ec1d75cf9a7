"""How many registers pipelines of a given size have: the RTL is built by these rules, the estimate counts by them."""

from hwgen.spec.choices import SHIFT_MOVES


def tree_stages(count: int, levels: int) -> int:
    """Registers from the inputs of a binary tree over ``count`` values to its output, one every ``levels`` levels."""
    depth = (count - 1).bit_length()
    return max(1, -(-depth // levels))


def normalising_moves(width: int, smallest: int) -> list[int]:
    """Left shifts, halving down to ``smallest``, that bring the highest bit of a ``width``-bit number to the top."""
    return [1 << k for k in reversed(range((width - 1).bit_length())) if 1 << k >= smallest]


def normalise_stages(width: int, smallest: int) -> int:
    """Registers of these moves, ``SHIFT_MOVES`` in each."""
    return -(-len(normalising_moves(width, smallest)) // SHIFT_MOVES)
