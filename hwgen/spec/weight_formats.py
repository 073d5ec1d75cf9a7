"""How the weights of a layer lie in the ring, declared once: bits of a code, and input chunks that share a word."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hwgen.spec.layout import U8, padded
from hwgen.spec.numerics import NUMERICS


@dataclass(frozen=True, kw_only=True)
class WeightFormat:
    """One format; instructions name it by ``code`` in their fields ``int4``."""

    name: str
    arrays: str  # which arrays have it, for documents
    code: int
    bits: int
    chunks_per_word: int  # input chunks of an output tile whose weights share a ring word
    largest: int  # code; the smallest is its negative
    why: str  # of that range
    pack: Callable[[U8, int], U8] = field(
        repr=False
    )  # (tiles of codes [tiles, tile_bytes], input chunks) -> ring words

    def words(self, in_chunks: int) -> int:
        """Ring words of the weights of one output tile."""
        return -(-in_chunks // self.chunks_per_word)


def _as_they_are(tiles: U8, in_chunks: int) -> U8:
    """A tile is a word."""
    return tiles


def _nibbles(tiles: U8, in_chunks: int) -> U8:
    """bytes [tiles, tile_bytes] of codes -8..7 -> ring words [words, tile_bytes], two tiles to a word.

    Tiles come in the order (output tile, input chunk). A word holds chunk 2k of an output tile in the low nibbles of
    its bytes and chunk 2k + 1 in the high ones, zero when there is none: every output tile begins with a new word.
    """
    pairs = padded(tiles.reshape(-1, in_chunks, tiles.shape[1]), 1, 2)
    words: U8 = (pairs[:, 0::2] & np.uint8(0x0F)) | (pairs[:, 1::2] << np.uint8(4))
    return words.reshape(-1, tiles.shape[1])


DENSE8 = WeightFormat(
    name="dense8",
    arrays="weight",
    code=0,
    bits=NUMERICS.weight_bits,
    chunks_per_word=1,
    largest=NUMERICS.activation_max,
    why="symmetric, so that sixteen products fit one field",
    pack=_as_they_are,
)
PACKED4 = WeightFormat(
    name="packed4",
    arrays="weight of four bits",
    code=1,
    bits=NUMERICS.narrow_weight_bits,
    chunks_per_word=2,
    largest=NUMERICS.narrow_weight_max,
    why="symmetric, half a byte in memory",
    pack=_nibbles,
)
WEIGHT_FORMATS = (DENSE8, PACKED4)
BY_CODE: dict[int, WeightFormat] = {item.code: item for item in WEIGHT_FORMATS}
