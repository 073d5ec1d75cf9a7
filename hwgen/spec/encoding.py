"""Instructions as words and as bytes in memory, from the declarations in hwgen/spec/ops.

In memory, bits 255..240 of every instruction hold a checksum over its other bits and its index (:func:`seal`), which
the machine checks before it dispatches the instruction. Bits that no field names are zero; the machine refuses others.
"""

from binascii import crc_hqx

from hwgen.spec.isa import CHECK_INIT, CHECKED_BYTES, INSTRUCTION_BYTES, Opcode
from hwgen.spec.ops import OPS


def encode(opcode: Opcode, **values: int) -> int:
    """The 256-bit word of an instruction; unnamed fields are zero, ValueError names what does not fit."""
    offsets = OPS[opcode].offsets()
    word = int(opcode)
    for name, value in values.items():
        if name not in offsets:
            raise ValueError(f"{opcode.name} has no field {name!r}; it has {', '.join(offsets)}")
        low, item = offsets[name]
        bounds = (-(1 << item.width - 1), 1 << item.width - 1) if item.signed else (0, 1 << item.width)
        if not bounds[0] <= value < bounds[1]:
            raise ValueError(f"{opcode.name}.{name}: {value} does not fit in {item.width} bits ({item.meaning})")
        word |= (value & (1 << item.width) - 1) << low
    return word


def decode(word: int) -> tuple[Opcode, dict[str, int]]:
    """Opcode and fields of the word of an instruction; ValueError for an unknown opcode and for bits of no field."""
    code = word & 0xFF
    if code not in OPS:
        raise ValueError(f"illegal opcode {code}")
    opcode = Opcode(code)
    reserved = word >> OPS[opcode].bits
    if reserved:
        first = OPS[opcode].bits + (reserved & -reserved).bit_length() - 1
        raise ValueError(f"{opcode.name}: bit {first} is set, no field has it")
    values: dict[str, int] = {}
    for name, (low, item) in OPS[opcode].offsets().items():
        value = word >> low & (1 << item.width) - 1
        if item.signed and value >> item.width - 1:
            value -= 1 << item.width
        values[name] = value
    return opcode, values


class ChecksumError(ValueError):
    """An instruction in memory is not the one that was written at its index."""


def checksum(data: bytes, index: int) -> int:
    """CRC-16 (polynomial 0x1021, initial value 0xFFFF) of the first 30 bytes of instruction ``index``, XOR its index.

    Every CRC-16 error of up to three bits and every burst of up to sixteen is found; the index finds instructions that
    were swapped, dropped or doubled.
    """
    return crc_hqx(data[:CHECKED_BYTES], CHECK_INIT) ^ index & 0xFFFF


def seal(word: int, index: int) -> bytes:
    """Instruction ``word`` as it lies in memory at ``index``: 30 bytes, then the checksum, high byte first."""
    data = word.to_bytes(CHECKED_BYTES, "little")
    return data + checksum(data, index).to_bytes(INSTRUCTION_BYTES - CHECKED_BYTES, "big")


def unseal(data: bytes, index: int) -> int:
    """The word of the instruction that lies in memory at ``index``; ChecksumError when its checksum is another one."""
    found, expected = int.from_bytes(data[CHECKED_BYTES:], "big"), checksum(data, index)
    if found != expected:
        raise ChecksumError(f"checksum {found:#06x} of instruction {index}, expected {expected:#06x}")
    return int.from_bytes(data[:CHECKED_BYTES], "little")


def to_bytes(words: list[int]) -> bytes:
    """A program as it lies in memory."""
    return b"".join(seal(word, index) for index, word in enumerate(words))
