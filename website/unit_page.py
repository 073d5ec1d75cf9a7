"""The page of the units: what each is for, its members, its timing, and its ports in a machine."""

from hwgen.emit.unit_ports import UnitPort, unit_ports
from hwgen.emit.verilog import unit_timing, units
from hwgen.spec.arch_presets import ARCHS
from website.docstrings import markdown
from website.tables import table

ARCH = "sim"  # widths of ports are those of this machine
INTRODUCTION = f"""\
# Units

Every unit of `hwgen/rtl`, from its docstring and its ports. Widths are those of the machine `{ARCH}`; `Pt`, `Pi` and
`Po` are its token, input and output lanes. Which golden function a unit equals, and the test that shows it, stands in
the [table of units](../architecture.md#units).
"""


def _cycles(name: str, timing: dict[str, dict[str, int]]) -> str:
    found = timing.get(name, {})
    return "".join(f"`{key}` = {value} cycles. " for key, value in found.items())


def _ports(found: list[UnitPort]) -> str:
    rows = [(f"`{port.name}`", port.direction, str(port.bits)) for port in found]
    text = table(("port", "direction", "bits"), rows).replace("\n", "\n    ").rstrip()
    return f'??? note "{len(found)} ports"\n\n    {text}\n'


def page() -> str:
    """The page, Markdown."""
    ports, timing = unit_ports(ARCHS[ARCH]), unit_timing()
    parts, room = [INTRODUCTION], None
    placed = [(module.rpartition(".")[0], module, unit) for module, unit in units()]
    for folder, module, unit in sorted(placed, key=lambda item: item[0]):  # the two files above the rooms come first
        name, place = unit.__name__, folder or "core and accelerator"
        if place != room:
            parts.append(f"## {place}\n")
            room = place
        said = f"### {name}\n\n`hwgen/rtl/{module.replace('.', '/')}.py`\n\n{markdown(unit.__doc__)}"
        parts.append("\n".join(item for item in (said, _cycles(name, timing), _ports(ports.get(name, []))) if item))
    return "\n".join(parts)
