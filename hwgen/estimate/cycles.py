"""Cycles that an instruction keeps its unit busy when nothing makes it wait."""

from hwgen.compiler.step import Step
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Opcode
from hwgen.spec.ops import OPS


def expert_rows(tokens: int, top_k: int, experts: int) -> list[int]:
    """Queue lengths of experts that share the work evenly."""
    share, rest = divmod(tokens * top_k, experts)
    return [share + (expert < rest) for expert in range(experts)]


def step_cycles(step: Step, arch: ArchConfig, top_k: int) -> int:
    """Busy cycles of the unit of ``step`` with even queues; beats for what moves memory, all ports together."""
    f = step.fields
    queues = expert_rows(f["rows"], top_k, f["experts"]) if step.opcode is Opcode.EXPERTS else ()
    return OPS[step.opcode].cycles(f, arch, queues)
