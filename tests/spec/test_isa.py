"""Every field of every instruction survives encoding, wherever it lies."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen.spec.encoding import decode, encode, to_bytes
from hwgen.spec.isa import INSTRUCTION_BYTES, Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.ops.op import Field


def bounds(item: Field) -> tuple[int, int]:
    return (-(1 << item.width - 1), (1 << item.width - 1) - 1) if item.signed else (0, (1 << item.width) - 1)


@st.composite
def instructions(draw: st.DrawFn) -> tuple[Opcode, dict[str, int]]:
    opcode = draw(st.sampled_from(list(OPS)))
    return opcode, {item.name: draw(st.integers(*bounds(item))) for item in OPS[opcode].fields}


@settings(max_examples=200, deadline=None)
@given(instructions())
def test_round_trip(instruction: tuple[Opcode, dict[str, int]]):
    opcode, values = instruction
    word = encode(opcode, **values)
    assert word < 1 << 8 * INSTRUCTION_BYTES
    assert decode(word) == (opcode, values)


@pytest.mark.parametrize("opcode", list(OPS), ids=lambda opcode: opcode.name)
def test_fields_do_not_touch_each_other(opcode: Opcode):
    """A field at its extremes leaves all others, and the opcode, at zero."""
    for item in OPS[opcode].fields:
        for value in bounds(item):
            found, values = decode(encode(opcode, **{item.name: value}))
            assert found is opcode
            assert values.pop(item.name) == value
            assert not any(values.values())


def test_every_opcode_has_a_format():
    assert set(OPS) == set(Opcode)
    assert {item.unit for item in OPS.values()} == set(Unit)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (4096, "LINEAR.rows: 4096 does not fit in 12 bits"),
        (-1, "LINEAR.rows: -1 does not fit in 12 bits"),
    ],
)
def test_value_that_does_not_fit(value: int, message: str):
    with pytest.raises(ValueError, match=message):
        encode(Opcode.LINEAR, rows=value)


def test_signed_limits():
    assert decode(encode(Opcode.SCORES, bias=-(2**31)))[1]["bias"] == -(2**31)
    with pytest.raises(ValueError, match=r"SCORES.bias: 2147483648 does not fit in 32 bits"):
        encode(Opcode.SCORES, bias=2**31)


def test_unknown_field_and_opcode():
    with pytest.raises(ValueError, match="END has no field 'rows'"):
        encode(Opcode.END, rows=1)
    for code in (0, max(Opcode) + 1, 255):
        with pytest.raises(ValueError, match=f"illegal opcode {code}"):
            decode(code)


def test_bytes_are_little_endian():
    data = to_bytes([encode(Opcode.END), encode(Opcode.STORE, beats=0x123456)])
    assert len(data) == 2 * INSTRUCTION_BYTES
    assert data[0] == Opcode.END
    assert data[INSTRUCTION_BYTES : INSTRUCTION_BYTES + 4] == bytes([Opcode.STORE, 0x56, 0x34, 0x12])
