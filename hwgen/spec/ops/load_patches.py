"""LOAD_PATCHES: patches of the image, one row each, into the activation buffer."""

from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import ACTIVATION
from hwgen.spec.isa import Counter, Opcode, Unit
from hwgen.spec.ops.op import DST, WAIT_B, Access, Field, Fields, Op, beats_of, none, rows_at, takes_nothing
from hwgen.spec.order import Stage


def _patches(f: Fields) -> int:
    return f["patch_rows"] * f["patch_columns"]


def _writes(f: Fields, arch: ArchConfig) -> tuple[Access, ...]:
    words = arch.words(f["channels"] * f["patch"] ** 2)
    return (rows_at(ACTIVATION, f, "dst", _patches(f), words, Stage.IO),)


def _counts(f: Fields) -> tuple[Counter, int]:
    return Counter.PATCH, _patches(f)


def _moves(f: Fields, arch: ArchConfig) -> int:
    """The planes of the image."""
    return f["channels"] * f["plane_bytes"]


OP = Op(
    opcode=Opcode.LOAD_PATCHES,
    unit=Unit.IO,
    meaning="gather patches of the planar uint8 image at the IMAGE pointer into the activation buffer",
    fields=(
        Field("patch", 6, "patch side in pixels, padding included: 8 or a multiple of 16"),
        Field("patch_rows", 8, "bands of patches"),
        Field("patch_columns", 8, "patches per band"),
        Field("channels", 3, "colour planes"),
        Field("width", 12, "image width in bytes, multiple of 16"),
        Field("plane_bytes", 24, "bytes of one colour plane"),
        *DST,
        *WAIT_B,
    ),
    reads=none,
    writes=_writes,
    tables=none,
    counts=_counts,
    takes=takes_nothing,
    moves=_moves,
    cycles=beats_of(_moves),
    destinations=none,
    loop=None,
)
