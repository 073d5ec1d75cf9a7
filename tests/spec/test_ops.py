"""Every operation is declared, whole, in a file of its own name."""

from dataclasses import fields
from pathlib import Path

import pytest

import hwgen.spec.ops
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.isa import Counter, Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.ops.op import Field, Op
from hwgen.spec.tables import TABLES

FILES = {path.stem for path in Path(hwgen.spec.ops.__file__).parent.glob("*.py")} - {"__init__", "op"}


def test_every_opcode_has_a_file():
    assert {opcode.name.lower() for opcode in Opcode} == FILES
    assert list(OPS) == list(Opcode)
    assert all(OPS[opcode].opcode is opcode for opcode in Opcode)


def test_nothing_is_left_to_a_default():
    """An operation that does not say what it costs cannot be declared."""
    everything = {item.name: getattr(OPS[Opcode.LINEAR], item.name) for item in fields(Op)}
    assert len(everything) == 13
    for name in everything:
        with pytest.raises(TypeError, match=name):
            Op(**{key: value for key, value in everything.items() if key != name})


def test_fields_that_do_not_fit_are_refused():
    everything = {item.name: getattr(OPS[Opcode.END], item.name) for item in fields(Op)}
    wide = Op(**(everything | {"fields": (Field("a", 200, "wide"), Field("b", 40, "too much"))}))
    with pytest.raises(ValueError, match="END: 248 bits do not fit in 240"):
        wide.offsets()


@pytest.mark.parametrize("opcode", Opcode)
def test_an_instruction_of_zeros_has_answers(opcode: Opcode):
    """Every face of every operation can be asked, also for the emptiest instruction."""
    op, arch = OPS[opcode], ARCHS["sim"]
    zeros = dict.fromkeys(op.offsets(), 0)
    assert sum(access.rows for access in (*op.reads(zeros, arch), *op.writes(zeros, arch))) == 0
    assert op.counts(zeros)[1] == 0
    assert op.counts(zeros)[0] in Counter
    assert set(op.takes(zeros).values()) <= {0}
    assert op.moves(zeros, arch) == 0
    assert set(op.tables(zeros)) <= {table.name for table in TABLES}
    assert isinstance(op.cycles(zeros, arch, ()), int)
    assert (op.loop is None) == (op.unit is not Unit.COMPUTE or opcode is Opcode.EXPERTS)
    assert bool(op.destinations(zeros)) == (op.unit is Unit.COMPUTE)
