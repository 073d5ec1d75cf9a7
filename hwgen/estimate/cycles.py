"""Cycles that an instruction keeps its unit busy when nothing makes it wait."""

from hwgen.compiler.step import Step
from hwgen.spec.arch import BEAT_BYTES, ArchConfig
from hwgen.spec.isa import Opcode
from hwgen.spec.timing import norm_cycles


def tile_cycles(arch: ArchConfig, chunks: int) -> int:
    """Cycles of one output tile: the array, or the drain of its rows."""
    return max(chunks, arch.token_lanes)


def linear_cycles(arch: ArchConfig, rows: int, out_tiles: int, chunks: int) -> int:
    """Array cycles of a LINEAR, a CONTEXT or one layer of an expert."""
    return -(-rows // arch.token_lanes) * out_tiles * tile_cycles(arch, chunks)


def score_cycles(arch: ArchConfig, queries: int, key_tiles: int, chunks: int) -> int:
    """Array cycles of SCORES: steps of the reordered schedule (docs/architecture.md)."""
    blocks, rest = divmod(queries + arch.token_lanes - 1, arch.token_lanes)
    return (blocks * max(key_tiles, arch.token_lanes) + rest) * tile_cycles(arch, chunks)


def expert_rows(tokens: int, top_k: int, experts: int) -> list[int]:
    """Queue lengths of experts that share the work evenly."""
    share, rest = divmod(tokens * top_k, experts)
    return [share + (expert < rest) for expert in range(experts)]


def experts_cycles(step: Step, arch: ArchConfig, top_k: int) -> int:
    """Array cycles of EXPERTS with even queues."""
    f = step.fields
    return sum(
        linear_cycles(arch, rows, f["hidden_tiles"], f["in_chunks"])
        + linear_cycles(arch, rows, f["out_tiles"], f["hidden_chunks"])
        for rows in expert_rows(f["rows"], top_k, f["experts"])
    )


def step_cycles(step: Step, arch: ArchConfig, top_k: int) -> int:
    """Busy cycles of the unit of ``step``; beats for what moves memory, all ports together."""
    f = step.fields
    match step.opcode:
        case Opcode.LINEAR:
            return linear_cycles(arch, f["rows"], f["out_tiles"], f["in_chunks"])
        case Opcode.SCORES:
            return score_cycles(arch, f["rows"], arch.words(f["keys"]), f["in_chunks"])
        case Opcode.CONTEXT:
            return linear_cycles(arch, f["rows"], f["out_tiles"], arch.chunks(f["keys"]))
        case Opcode.EXPERTS:
            return experts_cycles(step, arch, top_k)
        case Opcode.LAYERNORM:
            return norm_cycles(arch, f["rows"], f["words"])
        case _:
            return step_bytes(step, arch) // BEAT_BYTES


def step_bytes(step: Step, arch: ArchConfig) -> int:
    """Bytes that an instruction moves between DDR and the machine."""
    f = step.fields
    match step.opcode:
        case Opcode.LOAD_WEIGHTS:
            return f["port_stride"] * arch.weight_ports
        case Opcode.LOAD_TABLE:
            return f["words"] * 4
        case Opcode.LOAD_POSITION:
            return f["rows"] * f["row_words"] * arch.output_lanes * 2
        case Opcode.LOAD_PATCHES:
            return f["channels"] * f["plane_bytes"]
        case Opcode.STORE:
            return f["beats"] * BEAT_BYTES
        case _:
            return 0
