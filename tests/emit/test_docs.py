"""Documents hold the tables that the declarations give."""

from pathlib import Path

import pytest

from hwgen.emit.docs import PAGES, regenerate
from hwgen.spec.ops import OPS
from hwgen.spec.registers import REGISTERS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "programming.md"


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_up_to_date(page: str):
    text = (DOCS / page).read_text()
    assert regenerate(text, PAGES[page]) == text, f"run: .venv/bin/python -m hwgen.emit.docs docs/{page}"


def test_every_register_instruction_and_field_is_there():
    text = PAGE.read_text()
    names = [register.name for register in REGISTERS]
    names += [opcode.name for opcode in OPS]
    names += [item.name for form in OPS.values() for item in form.fields]
    assert len(names) > 100
    assert [name for name in names if f"`{name}`" not in text] == []


def test_a_stale_table_is_found():
    text = PAGE.read_text()
    assert regenerate(text.replace("`0x10`", "`0x14`"), PAGES[PAGE.name]) == text


def test_an_unknown_fence_is_named():
    with pytest.raises(ValueError, match="fences found: other"):
        regenerate("<!-- generated: other -->\n<!-- end -->\n", PAGES[PAGE.name])
