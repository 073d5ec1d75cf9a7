"""Cycles that an instruction keeps its unit busy when nothing makes it wait."""

from hwgen.compiler.step import Step
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Opcode
from hwgen.spec.ops import OPS


def expert_rows(tokens: int, top_k: int, experts: int) -> list[int]:
    """Queue lengths of experts that share the work evenly."""
    share, rest = divmod(tokens * top_k, experts)
    return [share + (expert < rest) for expert in range(experts)]


def even_queues(step: Step) -> list[int]:
    """Queue lengths of an EXPERTS whose experts share the tokens evenly."""
    return expert_rows(step.fields["rows"], step.chosen, step.fields["experts"])


def step_cycles(step: Step, arch: ArchConfig) -> int:
    """Busy cycles of the unit of ``step`` with even queues; beats for what moves memory, all ports together."""
    queues = even_queues(step) if step.opcode is Opcode.EXPERTS else ()
    return OPS[step.opcode].cycles(step.fields, arch, queues)
