"""Cells of mapped netlists as the resources that a part offers."""

import re
from collections import Counter
from dataclasses import dataclass, fields

from hwgen.synth.yosys import Netlist

# Look-up tables that one memory or shift register occupies (UG574, tables of the SLICEM primitives).
LUTS_OF_MEMORY = {
    "RAM32M": 4,
    "RAM32M16": 8,
    "RAM64M": 4,
    "RAM64M8": 8,
    "RAM32X1S": 1,
    "RAM32X1D": 2,
    "RAM64X1S": 1,
    "RAM64X1D": 2,
    "RAM128X1S": 2,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "RAM256X1D": 8,
    "RAM512X1S": 8,
    "SRL16E": 1,
    "SRLC16E": 1,
    "SRLC32E": 1,
}
_FREE = {"MUXF7", "MUXF8", "MUXF9", "CARRY4", "CARRY8", "INV"}  # beside the LUTs of their slice; INV goes into a LUT


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Resources of a module or of a design."""

    lut: int = 0  # logic and LUT memory; two small functions in one LUT count twice
    lutram: int = 0  # of these, as memory or shift register
    ff: int = 0
    bram18: int = 0  # halves of a block RAM
    dsp: int = 0
    carry4: int = 0  # halves of a CARRY8

    @property
    def bram36(self) -> float:
        """Block RAMs of 36 Kbit."""
        return self.bram18 / 2

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(**{item.name: getattr(self, item.name) + getattr(other, item.name) for item in fields(self)})

    def __mul__(self, times: int) -> "Cost":
        return Cost(**{item.name: getattr(self, item.name) * times for item in fields(self)})


def cells_of(netlist: Netlist) -> Counter[str]:
    """Cell type -> how many, children included."""
    return Counter(cell["type"] for cell in netlist["cells"].values())


def cost_of(netlist: Netlist, children: set[str]) -> Cost:
    """What the module itself takes, without its ``children``; ValueError for a cell that nothing here knows."""
    total = Cost()
    for kind, number in cells_of(netlist).items():
        if kind not in children:
            total += _cost_of_cell(kind) * number
    return total


def _cost_of_cell(kind: str) -> Cost:
    if re.fullmatch(r"LUT[1-6]", kind):
        return Cost(lut=1)
    if kind in LUTS_OF_MEMORY:
        return Cost(lut=LUTS_OF_MEMORY[kind], lutram=LUTS_OF_MEMORY[kind])
    if re.fullmatch(r"FD[RSCP]E(_1)?", kind):
        return Cost(ff=1)
    known = {"DSP48E2": Cost(dsp=1), "RAMB36E2": Cost(bram18=2), "RAMB18E2": Cost(bram18=1), "CARRY4": Cost(carry4=1)}
    known["CARRY8"] = Cost(carry4=2)
    if kind in known:
        return known[kind]
    if kind in _FREE:
        return Cost()
    raise ValueError(f"Yosys left a cell of type {kind}, which has no cost here")
