"""The ports of an emitted Verilog module, read from its text, so that no list of them is written by hand."""

import re
from dataclasses import dataclass
from typing import Literal

_MODULE = r"^module {name}\s*\((?P<names>[^;]*?)\);(?P<body>.*?)^endmodule"
_DECLARATION = re.compile(r"^\s*(input|output)(?:\s+(?:wire|reg))?\s+(?:\[(\d+):0\]\s+)?(\w+);", re.MULTILINE)


@dataclass(frozen=True)
class Port:
    """One port of the top module."""

    name: str
    direction: Literal["input", "output"]
    width: int  # bits


def ports_of(verilog: str, module: str) -> list[Port]:
    """Ports of ``module`` in the order of its header; ValueError when the text does not declare them all."""
    found = re.search(_MODULE.format(name=re.escape(module)), verilog, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"the Verilog has no module {module!r}")
    declared = {
        name: Port(name, "input" if direction == "input" else "output", int(high or 0) + 1)
        for direction, high, name in _DECLARATION.findall(found["body"])
    }
    names = [name.strip() for name in found["names"].split(",") if name.strip()]
    missing = [name for name in names if name not in declared]
    if missing:
        raise ValueError(f"module {module} does not declare its ports {', '.join(missing)}")
    return [declared[name] for name in names]


def interfaces(ports: list[Port]) -> tuple[str, ...]:
    """Names of the AXI interfaces (``s_axi_control``, ``m_axi_gmem0`` ...), in the order of their ports."""
    prefixes = [match[1] for port in ports if (match := re.match(r"([sm]_axi_[a-z0-9]+)_", port.name))]
    return tuple(dict.fromkeys(prefixes))
