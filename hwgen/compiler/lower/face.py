"""What the compiler knows of a kind of layer: its instructions, and what they need of the machine."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.places import Held, Place
from hwgen.compiler.streams import Stream
from hwgen.compiler.walk import Walk


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Something of which the machine takes so much."""

    what: str
    need: int
    field: str  # of the arch


@dataclass(frozen=True, kw_only=True)
class Face:
    """One kind of layer."""

    lower: Callable[[Writer, Any], None]
    holds: Callable[[Walk, Any], Iterable[Held]]  # rows that it leaves in buffers, or needs there while it runs
    streams: Callable[[Walk, Any], tuple[Stream, ...]]  # weights that it consumes, one load each
    limits: Callable[[Walk, Any], Iterable[Limit]]
    refusals: Callable[[Walk, Mapping[str, Place], Any], Iterable[str]]  # what no instruction can do


def nothing(*_: Any) -> tuple[Any, ...]:
    """It needs none."""
    return ()
