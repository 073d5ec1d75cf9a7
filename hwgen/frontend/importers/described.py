"""What is known of a network besides its arrays, whoever wrote it: timm or transformers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, cast

from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.frontend.importers.form import Form
from hwgen.frontend.importers.imported import ImportOptions
from hwgen.frontend.importers.vit import VitReader

LARGEST = 1e9  # numbers in files are smaller
Fault = Callable[[str], CheckpointError]


class Described(Protocol):
    """What an import asks of a description; every method refuses by the name of an entry or attribute."""

    @property
    def architecture(self) -> str:
        """What its framework calls the network."""
        ...

    def refuse_other_functions(self) -> None:
        """CheckpointError names the first entry with which this is no function of the machine."""
        ...

    def form(self, arrays: Form) -> Form:
        """The function; ``arrays`` is what the names of arrays say."""
        ...

    def refuse_other_sizes(self, reader: VitReader, classes: int) -> None:
        """CheckpointError names a size that the arrays contradict."""
        ...

    def complete(self, options: ImportOptions, patches: int | None, patch: int) -> ImportOptions:
        """Options that the user left out; CheckpointError if those that were given contradict the description."""
        ...


def completed(
    options: ImportOptions, found: Mapping[str, Any], *, source: str, who: str, fault: Fault
) -> ImportOptions:
    """Options with what was found: name of an option -> value.

    ``source`` is who gave it, in texts for the user; ``who`` is the same in a refusal.
    """
    given = dict(options.sources)
    for name, value in found.items():
        option, own = f"--{name.replace('_', '-')}", getattr(options, name)
        if own is not None and not _same(own, value):
            raise fault(f"{option} {_text(name, own)}: {who} says {_text(name, value)}; leave the option out")
        if own is None:
            given[name] = source
    return replace(options, **found, sources=given)


def shown(value: Any) -> str:
    """A value as its file has it."""
    return json.dumps(value, default=str)


def listed_pair(value: Any) -> Any:
    """Pairs as lists, which is what JSON has."""
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value


def sides(value: Any) -> tuple[int, int] | None:
    """Height and width of one side or a pair; None of anything else."""
    given = listed_pair(value)
    pair = cast("list[Any]", given if isinstance(given, list) else [given, given])
    return (pair[0], pair[1]) if [type(side) for side in pair] == [int, int] else None


def _same(left: Any, right: Any) -> bool:
    """Whether an option and an entry are equal; one number stands for all colours."""
    if not isinstance(left, tuple) or not isinstance(right, tuple):
        return left == right
    a, b = cast("tuple[float, ...]", left), cast("tuple[float, ...]", right)
    width = max(len(a), len(b))
    wide = [list(values) * (width if len(values) == 1 else 1) for values in (a, b)]
    return len(wide[0]) == len(wide[1]) and all(abs(x - y) < 1e-6 for x, y in zip(*wide, strict=True))


def _text(name: str, value: Any) -> str:
    """An option as the command line takes it."""
    if not isinstance(value, tuple):
        return str(value)
    return ("x" if name.endswith("_size") else ",").join(f"{x:g}" for x in cast("tuple[float, ...]", value))
