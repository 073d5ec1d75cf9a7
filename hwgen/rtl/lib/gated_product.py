"""Products without a multiplier: gated, shifted copies of one factor, summed in groups."""

from amaranth.hdl import Module, Mux, Shape, Signal, Value


def gated_sums(m: Module, value: Value, factor: Value, group_bits: int, name: str = "product") -> list[Value]:
    """Terms whose sum is ``value * factor``, one cycle later: one register for every ``group_bits`` bits of the factor.

    ``value`` may be signed, ``factor`` is unsigned. With four bits a group and four groups, two levels of adders lie in
    front of the registers and two behind them.
    """
    shape = value.shape()
    terms: list[Value] = []
    for low in range(0, len(factor), group_bits):
        bits = [factor[at] for at in range(low, min(low + group_bits, len(factor)))]
        group = Signal(Shape(len(value) + len(bits), shape.signed), name=f"{name}_{low}", reset_less=True)
        m.d.sync += group.eq(sum((Mux(bit, value, 0) << place for place, bit in enumerate(bits)), start=Value.cast(0)))
        terms.append(group << low)
    return terms
