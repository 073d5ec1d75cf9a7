"""Programs for benches of the sequencer: random instructions with every field in use, and how memory shows them."""

import random
from collections.abc import Sequence

from hwgen.spec.encoding import seal
from hwgen.spec.isa import INSTRUCTION_BYTES, Opcode
from hwgen.spec.ops import OPS

BEAT_BITS = 128


def random_instruction(rng: random.Random, *, end: bool = False) -> int:
    """Any opcode (END only if ``end``) with random bits in all its fields."""
    opcode = rng.choice([opcode for opcode in Opcode if end or opcode is not Opcode.END])
    return int(opcode) | rng.getrandbits(OPS[opcode].bits - 8) << 8


def program_beat(words: Sequence[int], offset: int) -> int:
    """The beat at byte ``offset`` of the program ``words``; what lies behind it is neither sealed nor legal."""
    index, at = divmod(offset, INSTRUCTION_BYTES)
    data = seal(words[index], index) if index < len(words) else b"\xff" * INSTRUCTION_BYTES
    return int.from_bytes(data[at : at + BEAT_BITS // 8], "little")
