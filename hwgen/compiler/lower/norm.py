"""Norm: rows of the residual stream into the norm buffer, only those that somebody reads."""

from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.streams import norm_stream
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.layers import Norm


def lower(writer: Writer, layer: Norm) -> None:
    """LAYERNORM."""
    (tensor,) = layer.tensors()
    words = writer.row_words(tensor)
    start, rows = writer.demanded(layer.writes)
    first = layer.source.first + start
    fields = {
        **writer.spans[layer.source.tensor].row_by_row(first),
        "rows": rows,
        "channels": layer.columns,
        "words": words,
        "src_base": first * words,
        "src_stride": words,
        "dst_base": 0,
        "dst_stride": words,
        "shift": writer.scalar(f"{layer.name}.shift"),
    }
    produced = (writer.produced(tensor, None, start, rows),)
    writer.emit(Opcode.LAYERNORM, layer.name, fields, (norm_stream(layer.name, words),), 0, produced)
    writer.spans[layer.writes] = writer.progress.finish(Counter.NORM, rows)
