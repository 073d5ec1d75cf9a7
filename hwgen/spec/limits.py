"""The range of a number, declared beside its field: ``lanes: Annotated[int, Limits(1, 16)]``."""

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, cast, get_args, get_origin, get_type_hints

from hwgen.spec.shown import shown

MOST = 10**9  # of a whole number for which there is no closer bound


@dataclass(frozen=True)
class Limits:
    """Smallest and largest value; ``above``: the value must be more than ``least``."""

    least: float
    most: float = MOST
    above: bool = False

    def holds(self, value: float) -> bool:
        """Whether a value is within; not a number is not."""
        return (self.least < value if self.above else self.least <= value) and value <= self.most

    def __str__(self) -> str:
        """As messages show it."""
        return f"above {self.least:g} and at most {self.most:g}" if self.above else f"in {self.least}..{self.most}"


@cache
def limits_of(record: type) -> dict[str, Limits]:
    """Field of a dataclass -> its limits, for the fields that have some."""
    found: dict[str, Limits] = {}
    for name, hint in get_type_hints(record, include_extras=True).items():
        for item in get_args(hint)[1:]:
            if isinstance(item, Limits):
                found[name] = item
    return found


def base_types(record: type) -> dict[str, Any]:
    """Field of a dataclass -> its type without limits."""
    hints = get_type_hints(record, include_extras=True)
    bare = {
        name: get_args(hint)[0] if get_origin(hint) is not None and name in limits_of(record) else hint
        for name, hint in hints.items()
    }
    return {item.name: bare[item.name] for item in fields(record)}


def limit_faults(record: Any) -> list[str]:
    """Every field of a dataclass that is no number of its type within its limits."""
    faults: list[str] = []
    kind = cast("type[Any]", type(record))
    types = base_types(kind)
    for name, limits in limits_of(kind).items():
        value, whole = getattr(record, name), types[name] is int
        number = type(value) is int or (type(value) is float and not whole)
        if not number or not limits.holds(value):
            faults.append(f"{name} = {shown(value)}: must be a {'whole ' if whole else ''}number {limits}")
    return faults


def refuse(record: Any, where: str = "") -> None:
    """Raise ValueError, which starts with ``where``, when a field of a dataclass is outside its limits."""
    faults = limit_faults(record)
    if faults:
        raise ValueError((f"{where}: " if where else "") + "; ".join(faults))
