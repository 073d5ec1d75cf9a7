"""What 64-bit integers hold; a function that would exceed it says so."""

from hwgen.spec.tables import Int64Array

ACCUMULATOR_MAX = 2**31 - 1  # the constant that I-ViT divides, and its clamp of sums
INT64_BITS = 63  # magnitude bits of int64


def largest_magnitude(x: Int64Array) -> int:
    """Largest absolute value; 0 of nothing."""
    return max(abs(int(x.min())), abs(int(x.max()))) if x.size else 0


def check_product(what: str, a: Int64Array, b: Int64Array | int) -> None:
    """OverflowError unless every ``a * b`` fits in int64, judged by the largest magnitudes."""
    first = largest_magnitude(a)
    second = abs(b) if isinstance(b, int) else largest_magnitude(b)
    if first * second >= 2**INT64_BITS:
        raise OverflowError(f"{what}: {first} * {second} exceeds {INT64_BITS} bits")
