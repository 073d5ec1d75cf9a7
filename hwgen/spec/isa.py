"""The instruction set as data: encoder, decoder, RTL fields and documentation derive from it.

An instruction is 256 bits, little-endian in memory, opcode in bits 7..0. Instructions are dispatched in program order
to the queue of their unit; each unit runs its own in order. Dependences are explicit: sixteen-bit progress counters
(modulo 2^16) count finished rows, and ``wait_a`` / ``wait_b`` name a counter and a base. ``wait_a`` is checked row by
row (or tile by tile): rows 0..r-1 may be read once ``counter - base_a >= r``. ``wait_b`` is checked once, before the
first row: ``counter - base_b >= 0`` (signed 16-bit differences). Counter 0 never blocks.

In memory, bits 255..240 of every instruction hold a checksum over its other bits and its index (:func:`seal`), which
the machine checks before it dispatches the instruction. Bits that no field names are zero; the machine refuses others.
"""

from binascii import crc_hqx
from dataclasses import dataclass, field
from enum import IntEnum

INSTRUCTION_BYTES = 32
CHECKED_BYTES = 30  # the checksum covers these and is the rest
CHECK_INIT = 0xFFFF  # so that a word of zeros is no valid instruction
FETCH_BYTES = 256  # programs are read in pieces of this size, so that many bytes from any instruction are readable


class Unit(IntEnum):
    """Queues of the sequencer."""

    CONTROL = 0
    LOAD = 1
    IO = 2
    COMPUTE = 3
    NORM = 4


class Opcode(IntEnum):
    """Operation codes."""

    END = 1
    LOAD_WEIGHTS = 2
    LOAD_TABLE = 3
    LOAD_POSITION = 4
    LOAD_PATCHES = 5
    STORE = 6
    LAYERNORM = 7
    LINEAR = 8
    SCORES = 9
    CONTEXT = 10
    EXPERTS = 11


class Counter(IntEnum):
    """Progress counters: rows finished since the start of the program, modulo 2^16."""

    NONE = 0
    RESIDUAL = 1  # LOAD_POSITION, LINEAR to RESIDUAL: per row; EXPERTS: all rows at its end
    NORM = 2  # LAYERNORM: per row
    QUERY = 3
    KEY = 4
    VALUE = 5
    SCORE = 6  # SCORES: per query row whose row factor is stored
    CONTEXT = 7  # CONTEXT: per query row of this head
    HIDDEN = 8  # LINEAR with GELU: per row; EXPERTS does not count here
    PATCH = 9  # LOAD_PATCHES: patch_columns rows when a band is complete
    GATE = 10  # LINEAR to GATE: per token whose experts are queued
    RESULT = 11  # LINEAR to RESULT: per row pushed to the result FIFO


class Destination(IntEnum):
    """Where the post-processor sends a row, and how it finishes it (docs/numerics.md)."""

    QUERY = 0  # sat8 -> activation buffer
    KEY = 1  # sat8 -> key buffer
    VALUE = 2  # sat8 -> value buffer
    HIDDEN = 3  # GELU -> activation buffer
    RESIDUAL = 4  # + residual -> residual buffer
    EXPERT = 5  # x score + residual -> residual buffer (EXPERTS, second layer)
    SCORE = 6  # sat10 -> score buffer and statistics (SCORES)
    CONTEXT = 7  # x row factor, sat8 -> activation buffer (CONTEXT)
    GATE = 8  # sat16 -> gate unit
    RESULT = 9  # sat16 -> result FIFO


class Source(IntEnum):
    """Row-major int8 buffer that a LINEAR reads."""

    NORM = 0
    ACTIVATION = 1


class ErrorCode(IntEnum):
    """Why the machine stopped; register ERROR_CODE."""

    NONE = 0
    ILLEGAL_INSTRUCTION = 1  # an opcode that does not exist, or a bit that no field names
    OUT_OF_BOUNDS = 2  # an address past the end of a buffer
    AXI_READ = 3  # a read was answered with an error, or with RLAST in the wrong place
    AXI_WRITE = 4
    WATCHDOG = 5
    BUS = 6  # answers to an earlier run are still owed: this run did not begin
    UNALIGNED = 7  # a pointer register has low bits that no address may have: this run did not begin
    RESULT_BOUND = 8  # a STORE is longer than RESULT_BYTES; it wrote nothing
    CHECKSUM = 9  # an instruction is not the one that was written at this index


@dataclass(frozen=True)
class Field:
    """One field of an instruction; unsigned unless ``signed``."""

    name: str
    width: int
    meaning: str
    signed: bool = False


@dataclass(frozen=True)
class InstructionFormat:
    """An opcode, the unit that runs it and its fields, packed from bit 8 upwards in order."""

    opcode: Opcode
    unit: Unit
    meaning: str
    fields: tuple[Field, ...] = field(default_factory=tuple)

    def offsets(self) -> dict[str, tuple[int, Field]]:
        """Field name -> (lowest bit, field)."""
        table: dict[str, tuple[int, Field]] = {}
        at = 8
        for item in self.fields:
            table[item.name] = (at, item)
            at += item.width
        if at > 8 * CHECKED_BYTES:
            raise ValueError(f"{self.opcode.name}: {at} bits do not fit in {8 * CHECKED_BYTES}")
        return table

    @property
    def bits(self) -> int:
        """Bits that opcode and fields take; those above are zero."""
        return 8 + sum(item.width for item in self.fields)


_WAIT_A = (
    Field("wait_a", 4, "progress counter checked row by row"),
    Field("wait_a_base", 16, "its value when no row was ready"),
)
_WAIT_B = (
    Field("wait_b", 4, "progress counter checked once before the first row"),
    Field("wait_b_base", 16, "value it must reach"),
)
_ROWS = Field("rows", 12, "rows (tokens) to process")
_DST = (
    Field("dst_base", 16, "word address of row 0"),
    Field("dst_stride", 10, "words from row to row"),
)
_SRC = (
    Field("src_base", 16, "word address of row 0"),
    Field("src_stride", 10, "words from row to row"),
)
_GELU = (
    Field("gelu_mult", 16, "M2: GELU output to hidden scale"),
    Field("gelu_shift", 6, "S2"),
)
_OFFSET = Field("offset", 32, "byte offset from the MODEL pointer, multiple of 16")

FORMATS: dict[Opcode, InstructionFormat] = {
    item.opcode: item
    for item in (
        InstructionFormat(Opcode.END, Unit.CONTROL, "wait until every unit is idle, then raise the interrupt"),
        InstructionFormat(
            Opcode.LOAD_WEIGHTS,
            Unit.LOAD,
            "stream parameters and weight tiles into the rings; every port reads its own slice",
            (
                _OFFSET,
                Field("port_stride", 32, "bytes between the slices of consecutive ports"),
                Field("norm_entries", 12, "LayerNorm parameter entries, first in the stream"),
                Field("param_entries", 12, "post-processor parameter entries, second"),
                Field("weight_words", 20, "words of weights, last: one tile each, or two of four-bit weights"),
                *_WAIT_B,
            ),
        ),
        InstructionFormat(
            Opcode.LOAD_TABLE,
            Unit.IO,
            "load a function table",
            (_OFFSET, Field("table", 4, "table id"), Field("words", 12, "32-bit entries, multiple of 4")),
        ),
        InstructionFormat(
            Opcode.LOAD_POSITION,
            Unit.IO,
            "load the int16 position table into the residual buffer; counts RESIDUAL per row",
            (_OFFSET, _ROWS, Field("row_words", 10, "words per row"), Field("dst_base", 16, "word address of row 0")),
        ),
        InstructionFormat(
            Opcode.LOAD_PATCHES,
            Unit.IO,
            "gather patches of the planar uint8 image at the IMAGE pointer into the activation buffer",
            (
                Field("patch", 6, "patch side in pixels: 8 or a multiple of 16"),
                Field("patch_rows", 8, "bands of patches"),
                Field("patch_columns", 8, "patches per band"),
                Field("channels", 3, "colour planes"),
                Field("width", 12, "image width in bytes, multiple of 16"),
                Field("plane_bytes", 24, "bytes of one colour plane"),
                *_DST,
            ),
        ),
        InstructionFormat(
            Opcode.STORE,
            Unit.IO,
            "write the result FIFO to the RESULT pointer, in the order in which tiles drain",
            (Field("beats", 24, "16-byte beats"),),
        ),
        InstructionFormat(
            Opcode.LAYERNORM,
            Unit.NORM,
            "normalise residual rows into the norm buffer",
            (
                *_WAIT_A,
                _ROWS,
                Field("channels", 12, "C: true channel count"),
                Field("words", 10, "words per row, padding included"),
                *_SRC,
                *_DST,
                Field("shift", 6, "final shift"),
            ),
        ),
        InstructionFormat(
            Opcode.LINEAR,
            Unit.COMPUTE,
            "rows x weight tiles from the ring, finished as the destination says",
            (
                *_WAIT_A,
                *_WAIT_B,
                _ROWS,
                Field("in_chunks", 10, "input chunks of input_lanes values"),
                Field("out_tiles", 10, "output tiles of output_lanes channels"),
                Field("source", 1, "Source"),
                *_SRC,
                Field("destination", 4, "Destination"),
                *_DST,
                *_GELU,
                Field("experts", 6, "GATE: experts"),
                Field("top_k", 6, "GATE: experts chosen per token"),
                Field("renormalise", 1, "GATE: scores of the chosen experts sum to one"),
                Field("int4", 1, "weights have four bits: a ring word holds two input chunks of an output tile"),
            ),
        ),
        InstructionFormat(
            Opcode.SCORES,
            Unit.COMPUTE,
            "q.k of one head in the reordered schedule, with softmax statistics and row factors",
            (
                *_WAIT_A,
                *_WAIT_B,
                _ROWS,
                Field("keys", 12, "keys"),
                Field("in_chunks", 10, "chunks of the head's padded dims"),
                *_SRC,
                Field("key_offset", 10, "first word of the head in a key row"),
                Field("key_stride", 10, "words per key row (all heads)"),
                Field("score_base", 16, "word address of query 0 in the score buffer"),
                Field("slot", 1, "row-factor slot"),
                Field("mult", 16, "score M"),
                Field("shift", 6, "score S"),
                Field("bias", 32, "score bias", signed=True),
                Field("context_mult", 16, "Mc"),
                Field("context_shift", 6, "Sc"),
            ),
        ),
        InstructionFormat(
            Opcode.CONTEXT,
            Unit.COMPUTE,
            "p.v of one head; probabilities from the score buffer",
            (
                *_WAIT_A,
                *_WAIT_B,
                _ROWS,
                Field("keys", 12, "keys"),
                Field("out_tiles", 10, "words of the head's padded dims"),
                Field("value_offset", 10, "first word of the head in a value row"),
                Field("value_stride", 10, "words per value row (all heads)"),
                Field("score_base", 16, "word address of query 0 in the score buffer"),
                Field("slot", 1, "row-factor slot"),
                *_DST,
            ),
        ),
        InstructionFormat(
            Opcode.EXPERTS,
            Unit.COMPUTE,
            "every expert of the meta-queue over its token queue, both layers, into the residual",
            (
                *_WAIT_B,
                _ROWS,
                Field("experts", 6, "experts whose weights are in the stream"),
                Field("in_chunks", 10, "first layer: input chunks"),
                Field("hidden_tiles", 10, "first layer: output tiles"),
                Field("hidden_chunks", 10, "second layer: input chunks"),
                Field("out_tiles", 10, "second layer: output tiles"),
                *_SRC,
                Field("hidden_base", 16, "word address of queue position 0 in the activation buffer"),
                Field("hidden_stride", 10, "words from row to row"),
                *_DST,
                *_GELU,
                Field("int4_first", 1, "weights of the first layer have four bits"),
                Field("int4_second", 1, "weights of the second layer have four bits"),
            ),
        ),
    )
}


def encode(opcode: Opcode, **values: int) -> int:
    """The 256-bit word of an instruction; unnamed fields are zero, ValueError names what does not fit."""
    offsets = FORMATS[opcode].offsets()
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
    if code not in FORMATS:
        raise ValueError(f"illegal opcode {code}")
    opcode = Opcode(code)
    reserved = word >> FORMATS[opcode].bits
    if reserved:
        first = FORMATS[opcode].bits + (reserved & -reserved).bit_length() - 1
        raise ValueError(f"{opcode.name}: bit {first} is set, no field has it")
    values: dict[str, int] = {}
    for name, (low, item) in FORMATS[opcode].offsets().items():
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
