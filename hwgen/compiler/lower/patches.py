"""Patches: the image is gathered into the activation buffer."""

from collections.abc import Iterator, Mapping

from hwgen.compiler.lower.face import Face, nothing
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.places import Held, Place
from hwgen.compiler.walk import Walk
from hwgen.spec.arch import BEAT_BYTES
from hwgen.spec.buffers import ACTIVATION
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.layers import Patches
from hwgen.spec.ops import OPS

_, _SIDE = OPS[Opcode.LOAD_PATCHES].offsets()["patch"]
MOST_SIDE = (2**_SIDE.width - 1) // BEAT_BYTES * BEAT_BYTES  # the largest multiple of a beat that the instruction says


def lower(writer: Writer, layer: Patches) -> None:
    """LOAD_PATCHES."""
    fields = {
        "patch": layer.side,
        "patch_rows": layer.height // layer.patch,
        "patch_columns": layer.width // layer.patch,
        "channels": layer.channels,
        "width": layer.width // layer.patch * layer.side,
        "plane_bytes": layer.rows * layer.side**2,
        **writer.places[layer.writes].target(),
    }
    writer.emit(Opcode.LOAD_PATCHES, layer.name, fields)
    writer.spans[layer.writes] = writer.progress.finish(Counter.PATCH, layer.rows)


def holds(walk: Walk, layer: Patches) -> Iterator[Held]:
    """A row a patch."""
    (tensor,) = layer.tensors()
    yield Held(tensor=layer.writes, memory=ACTIVATION, rows=layer.rows, words=walk.row_words(tensor))


def refusals(walk: Walk, places: Mapping[str, Place], layer: Patches) -> Iterator[str]:
    """A side that an instruction cannot say."""
    if layer.side > MOST_SIDE:
        yield f"patch side {layer.patch}: the machine gathers at most {MOST_SIDE} pixels"


FACE = Face(lower=lower, holds=holds, streams=nothing, limits=nothing, refusals=refusals)
