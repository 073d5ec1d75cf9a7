"""Who sends words to whom, read from the wires of the elaborated accelerator.

Signals are followed through the modules that wire others, through their registers and through FIFOs, from a port of one
unit to a port of another. Made for the pinned Amaranth: the stubs do not know what a fragment holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from amaranth.hdl import Value
from amaranth.hdl._ast import Assign, Switch
from amaranth.hdl._ir import Fragment
from amaranth.lib.fifo import FIFOInterface
from amaranth.lib.wiring import Component

from hwgen.rtl.accelerator import Accelerator
from hwgen.rtl.core import Core
from hwgen.rtl.matmul.compute_unit import ComputeUnit
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS

_WIRING = (Core, ComputeUnit)  # modules that are looked into
_BELOW = ("hwgen.rtl.lib.", "hwgen.rtl.axi.")  # ... and those of the rooms that every other room uses
_AXI = "m_axi_"
# Last words of the names of ports that carry words; the others are addresses, handshakes, counts and state.
_CARRIERS = {
    "data",
    "rdata",
    "wdata",
    "payload",
    "weights",
    "keys",
    "values",
    "a",
    "b",
    "sums",
    "scores",
    "logits",
    "token",
}
_BROADCAST = "table"  # the bus of the function tables


@dataclass(frozen=True, order=True)
class Station:
    """A unit, by the name of its class, or a memory, by its name in hwgen/spec/buffers.py; no room: outside."""

    name: str
    room: str


DDR = Station("DDR", "")
MEMORY_ROOM = "memory"
Arrow = tuple[Station, Station]


def _assignments(statements: Any) -> Iterator[Any]:
    """Every assignment, those under conditions included; the conditions are not followed."""
    for statement in statements:
        kind = type(statement)
        if kind is Assign:
            yield statement
        elif kind is Switch:
            for _, inner, _ in statement.cases:
                yield from _assignments(inner)


class _Wires:
    """Signals of an elaborated design: which drives which, and whose ports some of them are."""

    def __init__(self, arch: ArchConfig) -> None:
        self._drives: dict[int, set[int]] = {}
        self._owners: dict[int, tuple[Station, bool]] = {}  # signal -> unit or memory, and whether it carries words
        self._memories: dict[int, str] = {}
        top = Accelerator(arch)
        self._top: Any = Fragment.get(top, None)  # keeps the signals alive, which are known by their identity
        for path, value in _ports(top):
            if path.startswith(_AXI):
                self._own(DDR, path, value)
        self._look_into(self._top)

    def _look_into(self, fragment: Any) -> None:
        for statements in fragment.statements.values():
            for item in _assignments(statements):
                for driver in item.rhs._rhs_signals():
                    self._drives.setdefault(id(driver), set()).update(map(id, item.lhs._lhs_signals()))
        for inner, _, _ in fragment.subfragments:
            made = next(item for item in inner.origins if isinstance(item, Component | FIFOInterface))
            if isinstance(made, Core):
                self._memories = {id(memory): name for name, memory in made.memories.items()}
            if isinstance(made, FIFOInterface):
                self._drives.setdefault(id(made.w_data), set()).add(id(made.r_data))
            elif isinstance(made, _WIRING) or type(made).__module__.startswith(_BELOW):
                self._look_into(inner)
            else:
                place = self._place(made)
                for path, value in _ports(made):
                    self._own(place, path, value)

    def _place(self, made: Component) -> Station:
        room = type(made).__module__.split(".")[2]
        return Station(self._memories[id(made)] if room == MEMORY_ROOM else type(made).__name__, room)

    def _own(self, place: Station, path: str, value: Any) -> None:
        first, last = path.partition(".")[0], path.rpartition(".")[2].rpartition("_")[2]
        carries = first != _BROADCAST and last in _CARRIERS
        for signal in value._rhs_signals():
            self._owners[id(signal)] = place, carries

    def arrows(self) -> Iterator[Arrow]:
        """From every port that carries words to every one of another unit that they reach."""
        for signal, (place, carries) in self._owners.items():
            if carries:
                yield from ((place, reached) for reached in self._reached(signal) if reached != place)

    def _reached(self, start: int) -> Iterator[Station]:
        seen, ahead = {start}, [start]
        while ahead:
            fresh = self._drives.get(ahead.pop(), set()) - seen
            seen |= fresh
            for signal in fresh:
                place, carries = self._owners.get(signal, (None, False))
                if place is None:
                    ahead.append(signal)
                elif carries:
                    yield place


def _ports(made: Component) -> Iterator[tuple[str, Any]]:
    """Members by their dotted path."""
    for path, _, value in made.signature.flatten(made):
        yield ".".join(map(str, path)), Value.cast(value)


def read_arrows(arch: ArchConfig) -> frozenset[Arrow]:
    """All arrows of a machine."""
    return frozenset(_Wires(arch).arrows())


@cache
def arrows() -> frozenset[Arrow]:
    """Those of any machine: lanes and sizes change none."""
    return read_arrows(ARCHS["sim"])
