"""Names of classes, from a file: a line each, or JSON as datasets and model cards have it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from hwgen.spec.shown import nearest, shown


class LabelError(ValueError):
    """Names that do not fit classes; the message says which, and what to do."""


@dataclass(frozen=True)
class Labels:
    """The names of every class, by its index; the last one is shown, folders of pictures may have any."""

    names: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        """Classes."""
        return len(self.names)

    def name(self, index: int) -> str:
        """The name that is shown."""
        return self.names[index][-1]

    def index(self, name: str) -> int:
        """The class of this name; LabelError when there is none, or several."""
        found = [index for index, names in enumerate(self.names) if name in names]
        if len(found) == 1:
            return found[0]
        if found:
            raise LabelError(f"{len(found)} classes are called {name!r}: {', '.join(map(str, found))}")
        known = dict.fromkeys(word for names in self.names for word in names)
        hint = nearest(name, known).partition(" (known")[0]  # the list of all may have thousands
        raise LabelError(f"no class is called {name!r}{hint}")


def _words(value: object, where: str) -> tuple[str, ...]:
    """The names of one class: one, or several of which the last is shown."""
    words = [value] if isinstance(value, str) else value
    if isinstance(words, list) and words and all(isinstance(word, str) and word.strip() for word in words):
        return tuple(str(word).strip() for word in cast("list[object]", words))
    raise LabelError(f"{where} is {shown(value)}; give a name, or a list of names")


def _lines(text: str) -> tuple[tuple[str, ...], ...]:
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise LabelError(f"line {lines.index('') + 1} is empty; give every class a line, in the order of the outputs")
    return tuple((line,) for line in lines)


def _indexed(data: Mapping[str, object]) -> tuple[tuple[str, ...], ...]:
    """An object: index -> name, every index from 0 on."""
    wanted = [str(index) for index in range(len(data))]
    missing = [index for index in wanted if index not in data]
    if missing:
        extra = next(key for key in data if key not in wanted)
        raise LabelError(f"{len(data)} entries, none for class {missing[0]}, and one for {shown(extra)}; count from 0")
    return tuple(_words(data[index], f"class {index}") for index in wanted)


def _parsed(text: str) -> tuple[tuple[str, ...], ...]:
    if not text.lstrip().startswith(("[", "{")):
        return _lines(text)
    try:
        data: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"begins as JSON and is none ({error})") from error
    if isinstance(data, dict):
        return _indexed(cast("dict[str, object]", data))
    return tuple(_words(value, f"class {index}") for index, value in enumerate(cast("Sequence[object]", data)))


def read_labels(path: Path) -> Labels:
    """The names in a file; LabelError says what is wrong with it, OSError when it cannot be read.

    Text has a name a line. JSON is a list, or an object from index to name; in the place of a name may stand a list of
    names, such as an id and a word.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelError(f"no text in UTF-8 ({error.reason} at byte {error.start})") from error
    names = _parsed(text)
    if not names:
        raise LabelError("no names in it")
    return Labels(names)
