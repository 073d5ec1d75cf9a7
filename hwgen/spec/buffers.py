"""The memories of the machine, declared once: buffers that instructions address, and rings that weights stream through.

A word holds one element for each output lane; a row of a tensor is a number of words. A banked buffer spreads rows over
its banks: row ``r`` lies in bank ``r % banks``, at the address of row ``r // banks``.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hwgen.spec.arch import ArchConfig

PARAM_BYTES = 8  # one channel's parameters: bias/offset 32 bits, multiplier/gain 16 bits, shift 8 bits, 8 spare
SCORE_SLOTS = 2  # heads, or blocks of their queries, whose scores are held at a time
ADDRESS_WORDS = 2**16  # words of a buffer that an instruction can address
RING_WORDS = (2, 2**15 - 1)  # of a ring: its 16-bit counters tell full from empty by their sign
ROW_FACTOR_BITS = 5 + 16 + 6  # octave, multiplier, shift
LIST_ROW_BITS = 12  # of an entry of the list memory
IMPORTANCE_BITS = 32  # 29 are used with 16 heads


@dataclass(frozen=True, kw_only=True)
class MemoryInfo:
    """One memory: what it holds, how wide a word is, and which field of the arch says how many words there are."""

    name: str
    holds: str
    size_field: str  # of ArchConfig: bytes when its name says so, else words
    words_per_size: int = 1
    element_bits: int
    elements: Literal["output_lanes", "tile", "one"] = "output_lanes"  # in a word; tile: input x output lanes
    banks: Literal["one", "input_lanes", "output_lanes"] = "one"
    readers: int = 1  # read ports; each reads a copy of its own, unless the arch says how many copies there are
    copies_field: str = ""  # of ArchConfig
    depth: tuple[int, int] = (1, ADDRESS_WORDS)  # least and most words of a bank

    def word_bits(self, arch: "ArchConfig") -> int:
        """Bits of one word of one bank."""
        count = {"output_lanes": arch.output_lanes, "tile": arch.input_lanes * arch.output_lanes, "one": 1}
        return self.element_bits * count[self.elements]

    def bank_count(self, arch: "ArchConfig") -> int:
        """Banks."""
        return {"one": 1, "input_lanes": arch.input_lanes, "output_lanes": arch.output_lanes}[self.banks]

    def copies(self, arch: "ArchConfig") -> int:
        """Memories with the same words, each with a read port."""
        return int(getattr(arch, self.copies_field)) if self.copies_field else self.readers

    def unit(self, arch: "ArchConfig") -> int:
        """How much of ``size_field`` one word of all banks takes."""
        in_bytes = self.size_field.endswith("_bytes")
        return self.word_bits(arch) * self.bank_count(arch) // 8 if in_bytes else 1

    def words(self, arch: "ArchConfig") -> int:
        """Words of each bank."""
        return int(getattr(arch, self.size_field)) // self.unit(arch) * self.words_per_size


RESIDUAL = MemoryInfo(
    name="residual",
    holds="residual stream, int16",
    size_field="residual_bytes",
    element_bits=16,
    readers=2,
    copies_field="residual_copies",
)
NORM = MemoryInfo(
    name="norm",
    holds="rows of a LayerNorm, int8",
    size_field="norm_bytes",
    element_bits=8,
)
ACTIVATION = MemoryInfo(
    name="activation",
    holds="query, context, hidden units and patches, int8; regions by the compiler",
    size_field="activation_bytes",
    element_bits=8,
)
KEY = MemoryInfo(
    name="key",
    holds="keys of all heads, int8; the array takes `Po` keys x `Pi` dims a cycle",
    size_field="key_bytes",
    element_bits=8,
    banks="output_lanes",
)
VALUE = MemoryInfo(
    name="value",
    holds="values of all heads, int8; the array takes `Pi` keys x `Po` dims a cycle",
    size_field="value_bytes",
    element_bits=8,
    banks="input_lanes",
)
SCORE = MemoryInfo(
    name="score",
    holds="scores of two heads, or blocks of their queries: query `q` and key tile `k` at `base + q * key_tiles + k`",
    size_field="score_words",
    element_bits=10,
    depth=(SCORE_SLOTS, ADDRESS_WORDS),
)
ROW_FACTOR = MemoryInfo(
    name="row_factor",
    holds="largest octave, multiplier and shift of query `q` at `slot * max_tokens + q`",
    size_field="max_tokens",
    words_per_size=SCORE_SLOTS,
    element_bits=ROW_FACTOR_BITS,
    elements="one",
    readers=2,
)
IMPORTANCE = MemoryInfo(
    name="importance",
    holds="importances of the keys of the first query, summed over heads",
    size_field="importance_words",
    element_bits=IMPORTANCE_BITS,
)
LIST = MemoryInfo(
    name="list",
    holds="rows that selections keep, and the fused ones",
    size_field="list_entries",
    element_bits=LIST_ROW_BITS,
    elements="one",
)
WEIGHT_RING = MemoryInfo(
    name="weight_ring",
    holds="tiles of weights",
    size_field="ring_bytes",
    element_bits=8,
    elements="tile",
    depth=RING_WORDS,
)
PARAM_RING = MemoryInfo(
    name="param_ring",
    holds="bias, multiplier and shift of the channels of an output tile",
    size_field="param_entries",
    element_bits=8 * PARAM_BYTES,
    depth=RING_WORDS,
)
NORM_RING = MemoryInfo(
    name="norm_ring",
    holds="offset and gain of the channels of a LayerNorm word",
    size_field="norm_entries",
    element_bits=8 * PARAM_BYTES,
    depth=RING_WORDS,
)
BUFFERS = (RESIDUAL, NORM, ACTIVATION, KEY, VALUE, SCORE, ROW_FACTOR, IMPORTANCE, LIST)
RINGS = (NORM_RING, PARAM_RING, WEIGHT_RING)  # in the order in which a load fills them
MEMORIES: dict[str, MemoryInfo] = {  # that stand between units; importances are inside the one that adds them up
    memory.name: memory for memory in (*BUFFERS, WEIGHT_RING, PARAM_RING, NORM_RING) if memory is not IMPORTANCE
}
SIZED = (RESIDUAL, NORM, ACTIVATION, KEY, VALUE, SCORE, WEIGHT_RING)  # of a size that the lanes bound
