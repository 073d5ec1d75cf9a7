"""Names and numbers of the instruction set; what an operation is stands in hwgen/spec/ops.

An instruction is 256 bits, little-endian in memory, opcode in bits 7..0. Instructions are dispatched in program order
to the queue of their unit; each unit runs its own in order. Dependences are explicit: sixteen-bit progress counters
(modulo 2^16) count finished rows, and ``wait_a`` / ``wait_b`` name a counter and a base. ``wait_a`` is checked row by
row (or tile by tile): rows 0..r-1 may be read once ``counter - base_a >= r``. ``wait_b`` is checked once, before the
first row: ``counter - base_b >= 0`` (signed 16-bit differences). Counter 0 never blocks.
"""

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
    SELECT = 12
    GATHER = 13
    SCATTER = 14


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


EXPERT_HIDDEN = max(Counter) + 1  # internal counter: hidden rows of experts, never named by a program


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
