"""Shorter Verilog of the same meaning: what Amaranth and Yosys write at length, written briefly.

Every function takes the text of a design and returns it; names that a simulation refers to stay.
"""

import re
from collections import Counter

MODULE = re.compile(r"^module (?P<name>\\\S+ |\w+)\(.*?^endmodule\n", re.MULTILINE | re.DOTALL)

_ZERO_MEMORY = re.compile(
    r"^(?P<declared>  reg (?:\[\d+:\d+\] )?(?P<name>\\\S+ |\w+) ?\[(?P<last>\d+):0\];\n)  initial begin\n"
    r"(?P<words>(?:    (?P=name)\[\d+\] = (?P<bits>\d+)'[hdb]0+;\n)+)  end\n",
    re.MULTILINE,
)
_IDENTIFIER = re.compile(r"(?<![.'\w])(?:\\\S+ |[A-Za-z_]\w*)")  # no pins, no digits of numbers
_ALIAS = re.compile(r"^  assign (?P<name>\\\S+ |\w+) ?= (?P<of>\\\S+ |\w+)(?: ?\[\d+(?::\d+)?\])?;\n", re.MULTILINE)
_WIRE = re.compile(
    r"^(?P<attributes>(?:  \(\* .* \*\)\n)*)  wire (?:signed )?(?:\[\d+:\d+\] )?(?P<name>\\\S+ |\w+);\n", re.MULTILINE
)
_INITIAL_VALUE = re.compile(r"(  \(\* init = \S+ \*\)\n)?")
_GENERATED = re.compile(r"\\\$|\\port\$|_\d+_$|\d")  # names that say nothing, and numbers


def compact_memories(text: str) -> str:
    """One loop in place of a line per word where a memory starts as zeros; the line of the first word is enough."""

    def loop(match: re.Match[str]) -> str:
        name, words = match["name"], int(match["last"]) + 1
        if match["words"].count("\n") not in (1, words):
            return match[0]
        label = f"zero_{re.sub(r'[^A-Za-z0-9_]', '_', name)}"
        return (
            f"{match['declared']}  initial begin : {label}\n    integer i;\n"
            f"    for (i = 0; i < {words}; i = i + 1) {name}[i] = {match['bits']}'d0;\n  end\n"
        )

    return _ZERO_MEMORY.sub(loop, text)


def compare_vectors(text: str) -> str:
    """``~| x`` for ``! x``: "all bits are zero" without a vector where one bit is expected."""
    return re.sub(r"(= | \? | : |\()! ?(?=[\w\\{(])", r"\1~| ", text)


def drop_aliases(text: str, keep: str) -> str:
    """Without second names that nothing reads: fields of structures, and children's ports as their parent sees them.

    Such a name is a wire that is assigned a named signal, or a slice of one, and used nowhere else. Modules whose
    path ends in ``keep`` stay as they are.
    """

    def module(match: re.Match[str]) -> str:
        return match[0] if match["name"].rstrip().endswith(keep) else _drop_module_aliases(match[0])

    return MODULE.sub(module, text)


def _drop_module_aliases(body: str) -> str:
    uses = Counter(name.strip() for name in _IDENTIFIER.findall(body))
    wires = {match["name"].strip() for match in _WIRE.finditer(body) if _INITIAL_VALUE.fullmatch(match["attributes"])}
    aliases = {match["name"].strip(): match["of"].strip() for match in _ALIAS.finditer(body)}
    dropped: set[str] = set()
    waiting = [name for name, of in aliases.items() if name in wires and not _GENERATED.match(of)]
    while waiting:
        name = waiting.pop()
        if uses[name] == 2 and name not in dropped:  # its declaration and its assignment
            dropped.add(name)
            of = aliases[name]
            uses[of] -= 1
            if of in wires and of in aliases and not _GENERATED.match(aliases[of]):
                waiting.append(of)

    def without(match: re.Match[str]) -> str:
        return "" if match["name"].strip() in dropped else match[0]

    return _WIRE.sub(without, _ALIAS.sub(without, body))
