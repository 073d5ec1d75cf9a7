"""Rigid pipelines: delayed signals, and trees that reduce many values with registers between the levels."""

from collections.abc import Callable

from amaranth.hdl import Module, Mux, Shape, Signal, Value, unsigned

from hwgen.spec.stages import tree_stages


def delay(m: Module, value: Value, cycles: int, name: str = "delayed") -> Value:
    """``value`` as it was ``cycles`` cycles ago."""
    for step in range(cycles):
        register = Signal(value.shape(), name=f"{name}_{step + 1}", reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value


def delay_valid(m: Module, valid: Value, cycles: int) -> Value:
    """Like ``delay`` for a bit that a reset must clear."""
    for step in range(cycles):
        register = Signal(name=f"valid_{step + 1}")
        m.d.sync += register.eq(valid)
        valid = register
    return valid


def tree(
    m: Module, values: list[Value], combine: Callable[[Value, Value], Value], levels: int, name: str = "tree"
) -> Value:
    """All ``values`` joined by the binary ``combine``; a register after every ``levels`` levels and at the end.

    The result comes ``tree_stages(len(values), levels)`` cycles after the values.
    """
    for stage in range(tree_stages(len(values), levels)):
        for _ in range(levels):
            pairs = [combine(a, b) for a, b in zip(values[::2], values[1::2], strict=False)]
            values = pairs + values[2 * len(pairs) :]
        registers = [
            Signal(value.shape(), name=f"{name}_{stage}_{i}", reset_less=True) for i, value in enumerate(values)
        ]
        m.d.sync += [register.eq(value) for register, value in zip(registers, values, strict=True)]
        values = list(registers)
    return values[0]


def add(a: Value, b: Value) -> Value:
    """Sum, one bit wider; for ``tree``."""
    return a + b


def larger(a: Value, b: Value) -> Value:
    """Maximum; for ``tree``."""
    return Mux(a > b, a, b)


def half_up(value: Value, shift: Value | int) -> Value:
    """``value / 2^shift`` rounded to nearest, halves upwards, as one expression; ``value`` itself for shift 0."""
    doubled = (value << 1) >> shift
    return (doubled + 1) >> 1


def saturate_symmetric(value: Value, bits: int) -> Value:
    """Clip to -(2^(bits-1) - 1) .. 2^(bits-1) - 1."""
    high = (1 << bits - 1) - 1
    clipped = Mux(value > high, high, Mux(value < -high, -high, value))
    return clipped[:bits].as_signed()


def width_for(limit: int) -> Shape:
    """Unsigned shape that counts 0..``limit`` - 1; at least one bit."""
    return unsigned(max(1, (limit - 1).bit_length()))
