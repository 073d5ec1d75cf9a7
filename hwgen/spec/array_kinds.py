"""Kinds of arrays in a package: type, and the range of values that the machine holds, declared once."""

from dataclasses import dataclass

from hwgen.spec.numerics import MAX_BIAS, MAX_CONTEXT_SHIFT, MAX_NORM_SHIFT, MAX_SHIFT, NUMERICS
from hwgen.spec.tables import TableInfo
from hwgen.spec.weight_formats import WEIGHT_FORMATS, WeightFormat

_MULT = 2**NUMERICS.multiplier_bits - 1
_INT16 = 2 ** (NUMERICS.residual_bits - 1)


@dataclass(frozen=True, kw_only=True)
class ArrayKind:
    """What arrays of one kind hold: their type and the smallest and largest value that the machine takes."""

    arrays: str  # which arrays these are, for documents
    dtype: str
    low: int
    high: int
    why: str  # of the range
    optional: bool = False  # a package may leave such an array out: it is zero


WEIGHTS = {
    item.name: ArrayKind(
        arrays=item.arrays,
        dtype="int8",
        low=-item.largest,
        high=item.largest,
        why=item.why,
    )
    for item in WEIGHT_FORMATS
}
BIAS = ArrayKind(arrays="bias, scores.bias", dtype="int32", low=-MAX_BIAS, high=MAX_BIAS, why="acc + bias fits 32 bits")
MULT = ArrayKind(
    arrays="mult, gelu_mult, scores.mult, context.mult", dtype="uint16", low=0, high=_MULT, why="M has 16 bits"
)
SHIFT = ArrayKind(
    arrays="shift, gelu_shift, scores.shift", dtype="uint8", low=0, high=MAX_SHIFT, why="no product has more bits"
)
ZERO = ArrayKind(
    arrays="zero", dtype="int8", low=-NUMERICS.activation_max, high=NUMERICS.activation_max, why="a code", optional=True
)
CONTEXT_SHIFT = ArrayKind(
    arrays="context.shift", dtype="uint8", low=0, high=MAX_CONTEXT_SHIFT, why="S_row stays at most 47"
)
GAIN = ArrayKind(arrays="gain of a LayerNorm", dtype="int16", low=-_INT16, high=_INT16 - 1, why="16 bits")
OFFSET = ArrayKind(
    arrays="offset of a LayerNorm", dtype="int32", low=-MAX_BIAS, high=MAX_BIAS, why="z * gain + offset fits 35 bits"
)
NORM_SHIFT = ArrayKind(
    arrays="shift of a LayerNorm", dtype="uint8", low=0, high=MAX_NORM_SHIFT, why="no finer gain is needed"
)
POSITION = ArrayKind(arrays="position", dtype="int16", low=-_INT16, high=_INT16 - 1, why="a row of the residual")
KINDS = (*WEIGHTS.values(), BIAS, MULT, SHIFT, ZERO, CONTEXT_SHIFT, GAIN, OFFSET, NORM_SHIFT, POSITION)
TABLE_DTYPE = "int32"


@dataclass(frozen=True)
class ArraySpec:
    """One array of a package."""

    shape: tuple[int, ...]
    holds: ArrayKind | TableInfo  # a function table has one range for its bases and one for its slopes

    @property
    def dtype(self) -> str:
        """Name of the type."""
        return self.holds.dtype if isinstance(self.holds, ArrayKind) else TABLE_DTYPE

    @property
    def optional(self) -> bool:
        """A package may leave it out: it is zero."""
        return isinstance(self.holds, ArrayKind) and self.holds.optional


Specs = dict[str, ArraySpec]


def linear_arrays(name: str, outputs: int, inputs: int, weights: WeightFormat, stack: tuple[int, ...] = ()) -> Specs:
    """A linear layer, or a stack of them: weights [.., out, in], and bias, multiplier and shift of every channel."""
    return {
        f"{name}.weight": ArraySpec((*stack, outputs, inputs), WEIGHTS[weights.name]),
        f"{name}.bias": ArraySpec((*stack, outputs), BIAS),
        f"{name}.mult": ArraySpec((*stack, outputs), MULT),
        f"{name}.shift": ArraySpec((*stack, outputs), SHIFT),
    }


def scale_arrays(name: str, prefix: str = "", count: int = 1, shift: ArrayKind = SHIFT) -> Specs:
    """Multiplier and shift of a scale."""
    return {f"{name}.{prefix}mult": ArraySpec((count,), MULT), f"{name}.{prefix}shift": ArraySpec((count,), shift)}


def hidden_arrays(name: str) -> Specs:
    """Multiplier, shift and zero point of the codes of hidden units."""
    return scale_arrays(name, "gelu_") | {zero_array(name): ArraySpec((1,), ZERO)}


def zero_array(name: str) -> str:
    """Name of the zero point of the codes that the layer ``name`` leaves."""
    return f"{name}.zero"
