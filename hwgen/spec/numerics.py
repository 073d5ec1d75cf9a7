"""What numbers: widths, binary points and ranges of every stream. The formulas are in docs/numerics.md."""

import difflib
from dataclasses import dataclass

PROFILES = {"octave": "the arithmetic of the RTL", "ivit": "golden functions only (golden/ivit), no RTL"}


@dataclass(frozen=True, kw_only=True)
class NumericsConfig:
    """Formats of one arithmetic profile; the same on every machine."""

    profile: str = "octave"  # name of the arithmetic of softmax, GELU and LayerNorm
    activation_bits: int = 8  # signed, symmetric: -127..127
    weight_bits: int = 8  # signed, symmetric: -127..127
    narrow_weight_bits: int = 4  # of layers that a network names so: signed, symmetric, -7..7
    accumulator_bits: int = 32  # sum of products plus bias, never overflows
    multiplier_bits: int = 16  # unsigned requantisation multiplier
    shift_bits: int = 6  # requantisation shift 0..47
    residual_bits: int = 16  # signed residual stream, LayerNorm input, head results
    score_bits: int = 10  # signed attention score, saturated
    score_fraction_bits: int = 5  # one score LSB is 1/32 octave
    exp_fraction_bits: int = 12  # UQ1.12 entries of the exp2 table
    probability_bits: int = 7  # unsigned 0..127, keeps the array purely signed int8
    gelu_fraction_bits: int = 11  # GELU input is Q5.11 in 16 bits
    gelu_step_log2: int = 5  # one table step is 1/32
    gelu_table_bits: int = 16  # delta is UQ0.16
    gate_fraction_bits: int = 8  # gate logit is Q7.8 octaves in 16 bits
    gate_exp_bits: int = 15  # gate exponentials are UQ1.15
    expert_score_bits: int = 15  # expert score is UQ1.15, 32768 is one
    reciprocal_bits: int = 15  # reciprocal and rsqrt mantissas are UQ1.15
    norm_fraction_bits: int = 10  # normalised LayerNorm value is Q6.10 in 17 bits
    norm_gain_bits: int = 16  # signed per-channel LayerNorm multiplier

    def __post_init__(self) -> None:
        """Refuse a profile that does not exist; the message names the nearest one."""
        if self.profile not in PROFILES:
            near = difflib.get_close_matches(self.profile, PROFILES, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"unknown numerics profile {self.profile!r}; did you mean {near!r}? (known: {', '.join(PROFILES)})"
            )

    @property
    def activation_max(self) -> int:
        """Largest activation or weight code; the smallest is its negative."""
        return 2 ** (self.activation_bits - 1) - 1

    @property
    def narrow_weight_max(self) -> int:
        """Largest code of a four-bit weight; the smallest is its negative."""
        return 2 ** (self.narrow_weight_bits - 1) - 1

    @property
    def probability_max(self) -> int:
        """Largest probability code."""
        return 2**self.probability_bits - 1


NUMERICS = NumericsConfig()
DARKEST_PIXEL = 1  # a pixel of code 0 counts as this: -128 beside a negative code does not fit a packed operand
MAX_SHIFT = 47  # largest requantisation shift that the hardware takes
MAX_BIAS = 2**30  # |bias| bound that keeps accumulator plus bias inside 32 bits
MAX_CONTEXT_SHIFT = 30  # largest Sc: a row's shift is at most 16 more, and stays within MAX_SHIFT
MAX_NORM_SHIFT = 24  # largest shift of a LayerNorm's result
MAX_OBSERVED_HEADS = 16  # whose importances are summed
IMPORTANCE_FRACTION_BITS = 24  # importance of a token, UQ0.24 of one head
IMPORTANCE_BITS = 29  # of the sum over MAX_OBSERVED_HEADS heads
FUSED_WEIGHT_BITS = 15  # weight of a row in a fused row, UQ0.15


def importance_weight(heads: int) -> int:
    """Factor of SELECT that turns a sum over heads into their mean, UQ0.16."""
    return round(2**16 / heads)
