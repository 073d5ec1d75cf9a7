"""Layers to instructions: one file a kind, which knows the instructions of its layer and no other layer's."""

from collections.abc import Callable
from typing import Any

from hwgen.compiler.lower import attention, experts, linear, norm, patches, position
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.step import Step
from hwgen.spec.isa import Opcode
from hwgen.spec.layers import Attention, Experts, Layer, Linear, Norm, Patches, Position
from hwgen.spec.tables import TABLES

FACES: dict[type[Layer], Callable[[Writer, Any], None]] = {
    Position: position.lower,
    Patches: patches.lower,
    Linear: linear.lower,
    Norm: norm.lower,
    Attention: attention.lower,
    Experts: experts.lower,
}


def lower(writer: Writer) -> list[Step]:
    """The instructions of one image: tables, every layer of the task's walk, the end. Loads come later."""
    for table in TABLES:
        fields = {"offset": writer.offsets[f"tables.{table.name}"], "table": table.index, "words": table.words}
        writer.emit(Opcode.LOAD_TABLE, f"tables.{table.name}", fields)
    for layer in writer.network.walk(writer.task):
        FACES[type(layer)](writer, layer)
    writer.emit(Opcode.END, "end", {})
    return writer.steps
