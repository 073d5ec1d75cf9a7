"""The functions of I-ViT restated value by value, with Python integers and fractions only."""

import math
from fractions import Fraction


def dyadic_round(z: int, ratio: float) -> int:
    """z times a ratio with a mantissa of 31 bits, to nearest, halves to even."""
    exact = Fraction(ratio)
    exponent = 0
    while exact >= 1:
        exact, exponent = exact / 2, exponent + 1
    while exact < Fraction(1, 2):
        exact, exponent = exact * 2, exponent - 1
    mult = math.floor(exact * 2**31 + Fraction(1, 2))
    return round(Fraction(z * mult) * Fraction(2) ** (exponent - 31))  # Python rounds halves of fractions to even


def exponential(x: int, scale: float, n: int) -> int:
    """The shift exponential as the paper writes it: a line between powers of two."""
    x0 = math.floor(Fraction(-1) / Fraction(scale))
    stretched = max(x + math.floor(Fraction(x, 2)) - math.floor(Fraction(x, 16)), n * x0)
    whole = math.floor(Fraction(stretched, x0))
    rest = stretched - whole * x0
    return math.floor((Fraction(rest, 2) - x0) * Fraction(2) ** (n - whole))


def softmax(row: list[int], scale: float, n: int, bits: int) -> list[int]:
    """Shiftmax of one row."""
    powers = [exponential(x - max(row), scale, n) for x in row]
    factor = math.floor(Fraction(2**31 - 1, min(sum(powers), 2**31 - 1)))
    return [math.floor(Fraction(power * factor, 2 ** (31 - bits + 1))) for power in powers]


def gelu(row: list[int], scale: float, n: int) -> list[int]:
    """ShiftGELU of one token."""
    top, steep = max(row), scale * 1.702
    values: list[int] = []
    for x in row:
        power = exponential(x - top, steep, n)
        factor = math.floor(Fraction(2**31 - 1, min(power + exponential(-top, steep, n), 2**31 - 1)))
        values.append(x * math.floor(Fraction(power * factor, 2**24)))
    return values


def layernorm(row: list[int], bias: list[int]) -> list[int]:
    """I-LayerNorm of one row."""
    mean = round(Fraction(sum(row), len(row)))
    total = sum((x - mean) ** 2 for x in row)
    root = 65536
    for _ in range(10):
        root = (root + total // root) // 2
    factor = (2**31 - 1) // root
    return [math.floor(Fraction((x - mean) * factor, 2)) + b for x, b in zip(row, bias, strict=True)]
