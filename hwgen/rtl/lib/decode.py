"""Instruction words seen from hardware: fields by name, and the rule by which progress counters release a wait."""

from amaranth.hdl import Cat, Mux, Value, ValueLike
from amaranth.lib import data

from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.ops import OPS


def fields(opcode: Opcode, word: Value) -> dict[str, Value]:
    """Field name -> slice of a 256-bit instruction ``word``; signed fields are signed."""
    table: dict[str, Value] = {}
    for name, (low, item) in OPS[opcode].offsets().items():
        part = word[low : low + item.width]
        table[name] = part.as_signed() if item.signed else part
    return table


def opcode_is(word: Value, opcode: Opcode) -> Value:
    """Whether the instruction ``word`` has this opcode."""
    return word[:8] == int(opcode)


def opcode_among(word: Value, opcode: Opcode, unit: Unit) -> Value:
    """Whether ``word``, an instruction of ``unit``, has this opcode: looks only at the bits that differ in the unit."""
    codes = [int(other) for other, form in OPS.items() if form.unit == unit]
    differing = [bit for bit in range(8) if len({code >> bit & 1 for code in codes}) == 2]
    return Cat(word[bit] == int(opcode) >> bit & 1 for bit in differing).all()


def reached(counters: data.View, counter: Value, base: Value, rows: ValueLike) -> Value:
    """Whether ``rows`` rows counted from ``base`` are finished: signed 16-bit difference, counter 0 never blocks."""
    value = Value.cast(counters[counter])
    difference = (value - base - rows)[:16]
    return Mux(counter == 0, 1, ~difference[15])
