"""Equal modules of a Verilog text become one module with many instances.

Amaranth writes one module per instance; lanes and columns that are described once then stand there many times. Merging
them makes the text, its lint and its compilation shorter and changes nothing else: instance names stay, and so do
signal names, but for those that the tools numbered through the whole design. These are numbered within their module,
so that equal modules are equal texts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hwgen.emit.tidy import MODULE

_LOCAL = re.compile(r"\\\$auto\$(?:\w+\.cc:\d+:)?(?P<what>\w+)\$(?P<number>\d+) ")  # Yosys: in one module only
_PORT = re.compile(r"\\port\$(?P<number>\d+)\$(?P<bit>\d+) ")  # Amaranth: a port that no signal of the module names
_INSTANCE = re.compile(
    r"^  (?P<of>\\\S+ |\w+) (?P<name>\\\S+ |\w+) ?\(\n(?P<pins>.*?)^  \);\n", re.MULTILINE | re.DOTALL
)
_OWN_ATTRIBUTES = re.compile(r"(?:^\(\* .* \*\)\n)+\Z", re.MULTILINE)  # those of the module behind them


@dataclass
class _Module:
    """One module of the text, and what stands between it and the one before."""

    before: str
    name: str
    body: str  # from behind the name


def merge_modules(text: str) -> str:
    """``text`` with every module that equals an earlier one replaced by it, from the leaves up."""
    modules, end = _split(text)
    _number_ports(modules)
    for module in modules:
        module.body = _number_locals(module.body)
    while _merge_once(modules):
        pass
    return "".join(f"{module.before}module {module.name}{module.body}" for module in modules) + end


def _split(text: str) -> tuple[list[_Module], str]:
    modules: list[_Module] = []
    at = 0
    for match in MODULE.finditer(text):
        modules.append(_Module(text[at : match.start()], match["name"], text[match.end("name") : match.end()]))
        at = match.end()
    return modules, text[at:]


def _number_locals(body: str) -> str:
    """Names that Yosys made up, numbered in the order in which they appear."""
    numbers: dict[str, int] = {}
    return _LOCAL.sub(lambda m: rf"\$auto${m['what']}${numbers.setdefault(m['number'], len(numbers))} ", body)


def _number_ports(modules: list[_Module]) -> None:
    """Ports that Amaranth numbered, numbered within their module; at its instances, too."""
    numbers = {module.name: _port_numbers(module.body) for module in modules}

    def renamed(text: str, owner: str) -> str:
        known = numbers.get(owner, {})
        return _PORT.sub(lambda m: rf"\port${known.get(m['number'], m['number'])}${m['bit']} ", text)

    for module in modules:
        parts: list[str] = []
        at = 0
        for match in _INSTANCE.finditer(module.body):
            parts.append(renamed(module.body[at : match.start("pins")], module.name))
            for pin, net in _pins(match["pins"]):
                parts += [renamed(pin, match["of"]), renamed(net, module.name)]
            at = match.end("pins")
        module.body = "".join(parts) + renamed(module.body[at:], module.name)


def _port_numbers(body: str) -> dict[str, str]:
    header = body[: body.index(";")]
    ordered = sorted({int(match["number"]) for match in _PORT.finditer(header)})
    return {str(number): str(rank) for rank, number in enumerate(ordered)}


def _pins(pins: str) -> Iterator[tuple[str, str]]:
    """The lines of an instance's connections, each cut behind the name of the pin."""
    for line in pins.splitlines(keepends=True):
        pin, bracket, net = line.partition("(")
        yield pin + bracket, net


def _merge_once(modules: list[_Module]) -> bool:
    """Drop the copies that are equal by now; their instances become instances of the first one."""
    first: dict[str, str] = {}  # body -> name
    replaced: dict[str, str] = {}
    kept: list[_Module] = []
    before = ""
    for module in modules:
        name = first.setdefault(_comparable(module), module.name)
        if name == module.name:
            kept.append(_Module(before + module.before, name, module.body))
            before = ""
        else:
            replaced[module.name] = name
            gap = _OWN_ATTRIBUTES.sub("", module.before)
            before += gap if gap.strip() else ""
    if not replaced:
        return False
    for module in kept:
        module.body = _INSTANCE.sub(lambda m: _instance_of(m, replaced), module.body)
    modules[:] = kept
    return True


def _comparable(module: _Module) -> str:
    """Attributes and text of a module, its ports sorted: instances connect them by name."""
    attributes = _OWN_ATTRIBUTES.search(module.before)
    header, semicolon, rest = module.body.partition(";")
    ports = sorted(port.strip() for port in header.strip(" ()").split(","))
    return "\n".join([attributes[0] if attributes else "", ", ".join(ports), semicolon, rest])


def _instance_of(match: re.Match[str], replaced: dict[str, str]) -> str:
    return f"  {replaced.get(match['of'], match['of'])} {match[0][match.start('name') - match.start() :]}"
