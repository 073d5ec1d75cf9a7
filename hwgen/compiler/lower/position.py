"""Position: the table is loaded into the residual buffer."""

from hwgen.compiler.lower.writer import Writer
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.layers import Position


def lower(writer: Writer, layer: Position) -> None:
    """LOAD_POSITION."""
    (tensor,) = layer.tensors()
    fields = {"offset": writer.offsets[layer.name], "rows": layer.rows, "row_words": writer.row_words(tensor)}
    writer.emit(Opcode.LOAD_POSITION, layer.name, fields)
    writer.spans[layer.writes] = writer.progress.finish(Counter.RESIDUAL, layer.rows)
