"""The ports of every unit, read from the components of an elaborated accelerator."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Value
from amaranth.hdl._ir import Fragment
from amaranth.lib.wiring import Component, Flow

from hwgen.rtl.accelerator import Accelerator
from hwgen.spec.arch import ArchConfig


@dataclass(frozen=True)
class UnitPort:
    """One port of a unit; members of an interface have dotted names."""

    name: str
    direction: str  # in or out
    bits: int


def _ports(made: Component) -> list[UnitPort]:
    found: list[UnitPort] = []
    for path, member, value in made.signature.flatten(made):
        direction = "in" if member.flow is Flow.In else "out"
        found.append(UnitPort(".".join(map(str, path)), direction, len(Value.cast(value))))
    return found


def _components(fragment: Any) -> Iterator[Component]:
    """Those below a fragment, a parent before its children."""
    for inner, _, _ in fragment.subfragments:
        yield from (item for item in inner.origins or () if isinstance(item, Component))
        yield from _components(inner)


def unit_ports(arch: ArchConfig) -> dict[str, list[UnitPort]]:
    """Class name -> its ports in the machine ``arch``, of the first one where there are several."""
    top = Accelerator(arch)
    found = {type(top).__name__: _ports(top)}
    for made in _components(Fragment.get(top, None)):
        found.setdefault(type(made).__name__, _ports(made))
    return found
