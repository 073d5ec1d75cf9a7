"""Patches: the image is gathered into the activation buffer."""

from hwgen.compiler.lower.writer import Writer, target
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.layers import Patches


def lower(writer: Writer, layer: Patches) -> None:
    """LOAD_PATCHES."""
    fields = {
        "patch": layer.patch,
        "patch_rows": layer.height // layer.patch,
        "patch_columns": layer.width // layer.patch,
        "channels": layer.channels,
        "width": layer.width,
        "plane_bytes": layer.height * layer.width,
        **target(writer.buffers.patches),
    }
    writer.emit(Opcode.LOAD_PATCHES, layer.name, fields)
    writer.spans[layer.writes] = writer.progress.finish(Counter.PATCH, layer.rows)
