"""Tables and a picture of documents, generated from the declarations and fenced by HTML comments.

``python -m hwgen.emit.docs docs/*.md`` writes them in the pages that have some; a test checks that they are up to date.
"""

import re
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from hwgen.emit.network_tables import HEADER, constructor_rows, finish_rows, layer_rows
from hwgen.emit.picture import drawn, picture
from hwgen.emit.verilog import unit_timing, units
from hwgen.spec.buffers import MEMORIES, MemoryInfo
from hwgen.spec.destinations import DESTINATIONS
from hwgen.spec.isa import Counter, Destination, ErrorCode, Opcode, Source, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.registers import REGISTERS
from hwgen.store.output_file import write_text
from hwgen.store.report_schema import REPORTS
from hwgen.store.schema_rows import rows

ROOT = Path(__file__).parents[2]
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
    rows = [(str(int(f.opcode)), f"`{f.opcode.name}`", f.unit.name, f.meaning) for f in OPS.values()]
    return _table(("code", "instruction", "unit", "meaning"), rows)


def _fields(opcode: Opcode) -> str:
    rows = [
        (f"{low + item.width - 1}..{low}", f"`{name}`", item.meaning + (", signed" if item.signed else ""))
        for name, (low, item) in OPS[opcode].offsets().items()
    ]
    return f"\n### {opcode.name}\n\n" + (_table(("bits", "field", "meaning"), rows) if rows else "No fields.\n")


def fields_tables() -> str:
    """One table of fields per instruction."""
    return "".join(_fields(opcode) for opcode in OPS) + "\n"


def codes_table() -> str:
    """Values of the enumerated fields and of ERROR_CODE."""
    kinds = (Unit, Counter, Destination, Source, ErrorCode)
    rows = [(f"`{kind.__name__}`", ", ".join(f"{int(item)} `{item.name}`" for item in kind)) for kind in kinds]
    return _table(("enumeration", "values"), rows)


def _word(memory: MemoryInfo) -> str:
    """Elements of a word, and banks."""
    count = {"output_lanes": "`Po` x ", "tile": "`Pi` x `Po` x ", "one": ""}[memory.elements]
    banks = {"one": "", "input_lanes": "; `Pi` banks", "output_lanes": "; `Po` banks"}[memory.banks]
    return f"{count}{memory.element_bits} bits{banks}"


def _size(memory: MemoryInfo) -> str:
    times = f" x {memory.words_per_size}" if memory.words_per_size > 1 else ""
    return f"`{memory.size_field}`{times}"


def _units(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def memories_table() -> str:
    """Every buffer and ring; who writes and reads it is what the picture says."""
    found = drawn()
    rows = [
        (
            f"`{memory.name}`",
            memory.holds,
            _word(memory),
            _size(memory),
            _units(source.name for source, target in found if target.name == memory.name),
            _units(target.name for source, target in found if source.name == memory.name),
        )
        for memory in MEMORIES.values()
    ]
    return _table(("memory", "holds", "word", "size", "written by", "read by"), rows)


def destinations_table() -> str:
    """How rows of every destination are finished, and who counts them."""
    rows = [
        (
            f"`{name.name}`",
            item.opcode.name,
            f"`{item.buffer.name}`" if item.buffer else "stream",
            str(item.bits),
            item.parameters.replace("_", " "),
            item.factor,
            "yes" if item.adds else "",
            f"`{item.counter.name}`",
            item.counted_by,
        )
        for name, item in DESTINATIONS.items()
    ]
    header = (
        "destination",
        "of",
        "goes to",
        "bits",
        "bias, M, S from",
        "factor",
        "+ residual",
        "counter",
        "counted by",
    )
    return _table(header, rows)


def _golden(unit: type) -> str:
    """The golden functions that its docstring names."""
    found = re.findall(r"golden(?:\.\w+)+", unit.__doc__ or "")
    return ", ".join(f"`{name}`" for name in dict.fromkeys(found))


def _test(module: str) -> str:
    """The test file of a unit, where it has one of its own name."""
    room, _, name = module.rpartition(".")
    path = Path("tests") / "rtl" / room / f"test_{name}.py"
    return f"`{path}`" if (ROOT / path).is_file() else ""


def units_table() -> str:
    """Every unit: its file, what it is for, the golden function that it equals, fixed cycles, its own test."""
    timing = unit_timing()
    rows = [
        (
            f"`{module.replace('.', '/')}.py`",
            f"`{unit.__name__}`",
            (unit.__doc__ or "").strip().split("\n")[0],
            _golden(unit),
            ", ".join(f"{name} {value}" for name, value in timing.get(unit.__name__, {}).items()),
            _test(module),
        )
        for module, unit in units()
    ]
    return _table(("file below hwgen/rtl", "unit", "what for", "golden", "cycles", "test"), rows)


def constructors_table() -> str:
    """Parts of a vision transformer that a file may name."""
    return _table(HEADER, constructor_rows())


def layers_table() -> str:
    """Every kind of layer."""
    return _table(HEADER, layer_rows())


def finishes_table() -> str:
    """What is done with the sums of a linear layer."""
    return _table(HEADER, finish_rows())


def report_table(name: str) -> str:
    """Every key of what a command writes with ``--json``."""
    return _table(("key", "type", "meaning"), list(rows(REPORTS[name])))


Sections = dict[str, Callable[[], str]]
PAGES: dict[str, Sections] = {
    "programming.md": {
        "registers": registers_table,
        "opcodes": opcodes_table,
        "codes": codes_table,
        "fields": fields_tables,
    },
    "architecture.md": {
        "picture": picture,
        "memories": memories_table,
        "destinations": destinations_table,
        "units": units_table,
    },
    "networks.md": {
        "constructors": constructors_table,
        "layers": layers_table,
        "finishes": finishes_table,
    },
    "reports.md": {name: partial(report_table, name) for name in REPORTS},
}


def regenerate(text: str, sections: Sections) -> str:
    """``text`` with the inside of every fence replaced; ValueError when the fences are not those of ``sections``."""
    found = [match[1] for match in re.finditer(r"<!-- generated: (\w+) -->", text)]
    if sorted(found) != sorted(sections):
        raise ValueError(f"fences found: {', '.join(found) or 'none'}; expected each once: {', '.join(sections)}")
    return _FENCE.sub(lambda match: match[1] + sections[match[2]]() + match[3], text)


def main(paths: list[str]) -> None:
    """Rewrite what is fenced in files."""
    for file in (path for path in map(Path, paths) if path.name in PAGES):
        write_text(file, regenerate(file.read_text(), PAGES[file.name]))


if __name__ == "__main__":
    main(sys.argv[1:])
