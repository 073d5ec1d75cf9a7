"""Layers to instructions: one file a kind, which knows the instructions of its layer and no other layer's."""

from hwgen.compiler.lower import pair
from hwgen.compiler.lower.face import Face
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.step import Step
from hwgen.spec.isa import Opcode
from hwgen.spec.layers import Layer, faces
from hwgen.spec.tables import TABLES

FACES: dict[type[Layer], Face] = faces(__name__, "FACE")


def lower(writer: Writer) -> list[Step]:
    """The instructions of one image: tables, every layer of the task's walk, the end. Loads come later."""
    for table in TABLES:
        fields = {"offset": writer.offsets[f"tables.{table.name}"], "table": table.index, "words": table.words}
        writer.emit(Opcode.LOAD_TABLE, f"tables.{table.name}", fields)
    blocked = pair.blocked_pairs(writer.walk)
    behind = {item.second.name for item in blocked.values()}
    for layer in writer.walk.layers:
        if layer.name in blocked:
            pair.lower(writer, blocked[layer.name])
        elif layer.name not in behind:
            FACES[type(layer)].lower(writer, layer)
    writer.emit(Opcode.END, "end", {})
    return writer.steps
