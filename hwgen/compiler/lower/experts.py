"""Experts: both layers of every expert are one instruction, which takes its tokens from the queues."""

from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.streams import expert_streams
from hwgen.spec.isa import Counter, Destination, Opcode
from hwgen.spec.layers import Experts


def lower(writer: Writer, layer: Experts) -> None:
    """EXPERTS."""
    (tensor,), region = layer.tensors(), writer.buffers.expert_hidden
    streams = expert_streams(writer.shapes, layer)
    first, second = streams[0].layers
    words, place = writer.row_words(tensor), writer.place(layer.source)
    fields = {
        **writer.spans[layer.gate.tensor].complete(),
        "rows": layer.rows,
        "experts": layer.experts,
        "in_chunks": first.in_chunks,
        "hidden_tiles": first.out_tiles,
        "hidden_chunks": second.in_chunks,
        "out_tiles": second.out_tiles,
        "src_base": place.base + place.skipped * place.stride,
        "src_stride": place.stride,
        "hidden_base": region.base,
        "hidden_stride": region.stride,
        "dst_base": 0,
        "dst_stride": words,
        "gelu_mult": writer.scalar(f"{layer.name}.fc1.gelu_mult"),
        "gelu_shift": writer.scalar(f"{layer.name}.fc1.gelu_shift"),
        "int4_first": first.format.code,
        "int4_second": second.format.code,
    }
    macs = 2 * layer.rows * layer.top_k * layer.columns * layer.hidden
    produced = (writer.produced(tensor, Destination.EXPERT),)
    writer.emit(Opcode.EXPERTS, layer.name, fields, streams, macs, produced)
    writer.spans[layer.writes] = writer.progress.finish(Counter.RESIDUAL, layer.rows)
