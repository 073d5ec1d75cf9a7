"""Tables of docs/programming.md, generated from the declarations and fenced by HTML comments.

``python -m hwgen.emit.docs docs/programming.md`` writes them; a test checks that the file is up to date.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from hwgen.spec.isa import FORMATS, Counter, Destination, ErrorCode, Opcode, Source, Unit
from hwgen.spec.registers import REGISTERS
from hwgen.store.output_file import write_text

_FENCE = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (header, tuple("---" for _ in header), *rows)]
    return "\n".join(lines) + "\n"


def registers_table() -> str:
    """Every register with offset, width, access and meaning."""
    rows = [(f"`0x{r.offset:02X}`", f"`{r.name}`", str(r.bits), r.access, r.meaning) for r in REGISTERS]
    return _table(("offset", "name", "bits", "access", "meaning"), rows)


def opcodes_table() -> str:
    """Every instruction with its code, unit and meaning."""
    rows = [(str(int(f.opcode)), f"`{f.opcode.name}`", f.unit.name, f.meaning) for f in FORMATS.values()]
    return _table(("code", "instruction", "unit", "meaning"), rows)


def _fields(opcode: Opcode) -> str:
    rows = [
        (f"{low + item.width - 1}..{low}", f"`{name}`", item.meaning + (", signed" if item.signed else ""))
        for name, (low, item) in FORMATS[opcode].offsets().items()
    ]
    return f"\n### {opcode.name}\n\n" + (_table(("bits", "field", "meaning"), rows) if rows else "No fields.\n")


def fields_tables() -> str:
    """One table of fields per instruction."""
    return "".join(_fields(opcode) for opcode in FORMATS) + "\n"


def codes_table() -> str:
    """Values of the enumerated fields and of ERROR_CODE."""
    kinds = (Unit, Counter, Destination, Source, ErrorCode)
    rows = [(f"`{kind.__name__}`", ", ".join(f"{int(item)} `{item.name}`" for item in kind)) for kind in kinds]
    return _table(("enumeration", "values"), rows)


SECTIONS: dict[str, Callable[[], str]] = {
    "registers": registers_table,
    "opcodes": opcodes_table,
    "codes": codes_table,
    "fields": fields_tables,
}


def regenerate(text: str) -> str:
    """``text`` with the inside of every fence replaced; ValueError when the fences are not those of SECTIONS."""
    found = [match[1] for match in re.finditer(r"<!-- generated: (\w+) -->", text)]
    if sorted(found) != sorted(SECTIONS):
        raise ValueError(f"fences found: {', '.join(found) or 'none'}; expected each once: {', '.join(SECTIONS)}")
    return _FENCE.sub(lambda match: match[1] + SECTIONS[match[2]]() + match[3], text)


def main(path: str) -> None:
    """Rewrite the fenced tables of a file."""
    file = Path(path)
    write_text(file, regenerate(file.read_text()))


if __name__ == "__main__":
    main(sys.argv[1])
