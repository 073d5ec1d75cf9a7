"""Linear: weights from the ring, and what its finish asks of the post-processor."""

from collections.abc import Mapping

from hwgen.compiler.listing import Produced
from hwgen.compiler.lower.writer import Writer, target
from hwgen.compiler.streams import linear_stream
from hwgen.spec.arch import BEAT_BYTES
from hwgen.spec.destinations import DESTINATIONS
from hwgen.spec.isa import Destination, Opcode
from hwgen.spec.layers import Attention, Codes, Gate, Gelu, Linear, Position, Residual, Result
from hwgen.spec.layout import result_bytes


def lower(writer: Writer, layer: Linear) -> None:
    """LINEAR, and the STORE of a result."""
    destination = _destination(writer, layer)
    tensor, inputs = layer.tensors()[0], writer.tensors[layer.source.tensor]
    stream = linear_stream(
        writer.shapes,
        layer.name,
        out_tiles=writer.row_words(tensor),
        in_chunks=_chunks(writer, layer),
        heads_out=tensor.heads,
        heads_in=inputs.heads,
    )
    shape = stream.layers[0]
    fields = {
        **_waits(writer, layer),
        **writer.place(layer.source).fields(),
        **_target(writer, layer, destination),
        "rows": layer.rows,
        "in_chunks": shape.in_chunks,
        "out_tiles": shape.out_tiles,
        "int4": shape.format.code,
    }
    macs = layer.rows * layer.inputs * layer.outputs
    writer.emit(Opcode.LINEAR, layer.name, fields, (stream,), macs, _produced(writer, layer, destination))
    first = layer.finish.into.first if isinstance(layer.finish, Residual) else 0
    counter = DESTINATIONS[destination].counter
    writer.spans[layer.writes] = writer.progress.finish(counter, layer.rows, first_row=first)
    if isinstance(layer.finish, Result):
        writer.emit(
            Opcode.STORE, "store", {"beats": result_bytes(layer.rows, layer.outputs, writer.arch) // BEAT_BYTES}
        )


def _chunks(writer: Writer, layer: Linear) -> int:
    """Input chunks: padding between heads counts."""
    inputs = writer.tensors[layer.source.tensor]
    if inputs.heads is not None:
        return writer.row_words(inputs) * writer.arch.subwords
    return writer.arch.chunks(layer.inputs)


def _destination(writer: Writer, layer: Linear) -> Destination:
    """Where its rows go: codes where their reader wants them."""
    finishes = {
        Gelu: Destination.HIDDEN,
        Residual: Destination.RESIDUAL,
        Gate: Destination.GATE,
        Result: Destination.RESULT,
    }
    if not isinstance(layer.finish, Codes):
        return finishes[type(layer.finish)]
    for reader in writer.network.readers(layer.writes, writer.task):
        if isinstance(reader, Attention):
            roles = {reader.query.tensor: "QUERY", reader.key.tensor: "KEY", reader.value.tensor: "VALUE"}
            return Destination[roles[layer.writes]]
    raise ValueError(f"{layer.name}: no attention reads its codes")


def _waits(writer: Writer, layer: Linear) -> dict[str, int]:
    """Rows as they come; the residual stream at once, when IO and not this unit has begun it."""
    waits = writer.spans[layer.source.tensor].row_by_row(writer.place(layer.source).skipped)
    if isinstance(layer.finish, Residual):
        stream = layer.finish.into.tensor
        if isinstance(writer.network.writer(stream, writer.task), Position):
            waits |= writer.spans[stream].complete()
    return waits


def _target(writer: Writer, layer: Linear, destination: Destination) -> Mapping[str, int]:
    """Where its rows go, and what is done on the way."""
    tensor, finish = layer.tensors()[0], layer.finish
    match finish:
        case Residual():
            return writer.residual_target(tensor, finish.into.first)
        case Gate():
            scores = {"experts": layer.outputs, "top_k": finish.top_k, "renormalise": finish.renormalise}
            return {"destination": destination, **scores}
        case Gelu():
            scale = {part: writer.scalar(f"{layer.name}.{part}") for part in ("gelu_mult", "gelu_shift")}
            return {"destination": destination, **target(writer.buffers.hidden), **scale}
        case Result():
            return {"destination": destination}
        case Codes():
            if destination is Destination.QUERY:
                return {"destination": destination, **target(writer.buffers.query)}
            return {"destination": destination, "dst_base": 0, "dst_stride": writer.row_words(tensor)}


def _produced(writer: Writer, layer: Linear, destination: Destination) -> tuple[Produced, ...]:
    """Its tensor; behind a gate also what was chosen."""
    tensor, *chosen = layer.tensors()
    first = layer.finish.into.first if isinstance(layer.finish, Residual) else 0
    following = (
        Produced(tensor=item.name, channel="gate", destination=None, shape=item.shape, rows=layer.rows)
        for item in chosen
    )
    return (writer.produced(tensor, destination, first), *following)
