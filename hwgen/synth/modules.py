"""The emitted Verilog cut into its modules: text, ports and children of each, and how often each one is used."""

import re
from collections import Counter
from dataclasses import dataclass, field

_MODULE = re.compile(
    r"^module (?P<name>\\\S+|\w+) ?\((?P<ports>[^;]*)\);\n(?P<body>.*?)^endmodule\n", re.MULTILINE | re.DOTALL
)
_INSTANCE = re.compile(r"^  (?P<of>\\\S+ |\w+) (?P<name>\\\S+ |\w+) ?\(\n\s+\.", re.MULTILINE)
_PORT = re.compile(r"^  (?:input|output) .*;\n", re.MULTILINE)
_ZEROS = re.compile(r"^  initial begin : zero_\w+\n.*?^  end\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class VerilogModule:
    """One module of the text."""

    name: str  # without the backslash of an escaped name
    text: str  # from ``module`` to ``endmodule``
    children: Counter[str] = field(hash=False)  # module name -> instances of it directly inside

    @property
    def source(self) -> str:
        """The text without loops that clear memories: an FPGA does so by itself, and Yosys would write every word."""
        return _ZEROS.sub("", self.text)

    @property
    def stub(self) -> str:
        """The module as a black box: its ports and nothing else."""
        match = _MODULE.match(self.text)
        assert match is not None
        ports = "".join(_PORT.findall(match["body"]))
        return f"(* blackbox *)\nmodule {written(self.name)}({match['ports']});\n{ports}endmodule\n"


def written(name: str) -> str:
    """The name as Verilog text writes it."""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else f"\\{name} "


def split_modules(verilog: str) -> dict[str, VerilogModule]:
    """Name -> module, children before their parents; ValueError for a text without modules or with unknown children."""
    found: dict[str, VerilogModule] = {}
    for match in _MODULE.finditer(verilog):
        name = match["name"].removeprefix("\\")
        children = Counter(of["of"].removeprefix("\\").strip() for of in _INSTANCE.finditer(match["body"]))
        found[name] = VerilogModule(name, match[0], children)
    if not found:
        raise ValueError("the Verilog has no module")
    for module in found.values():
        unknown = sorted(set(module.children) - set(found))
        if unknown:
            raise ValueError(f"module {module.name} instantiates {', '.join(unknown)}, which the text does not define")
    return {name: found[name] for name in _children_first(found)}


def _children_first(modules: dict[str, VerilogModule]) -> list[str]:
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        for child in modules[name].children:
            if child not in order:
                visit(child)
        order[name] = None

    for name in modules:
        if name not in order:
            visit(name)
    return list(order)


def instance_counts(modules: dict[str, VerilogModule], top: str) -> Counter[str]:
    """Module name -> how often it stands in ``top``, through all levels; ``top`` itself once."""
    if top not in modules:
        raise ValueError(f"no module {top!r}; the text has {', '.join(modules)}")
    counts: Counter[str] = Counter({top: 1})
    for name in reversed(modules):  # parents first
        for child, times in modules[name].children.items():
            counts[child] += times * counts[name]
    return Counter({name: count for name, count in counts.items() if count})
