"""The file of ``--json``: the result of a command, or ``{"error": ...}`` when it fails. No earlier result stays.

Light to import: a signal may end the program before the rest of it is there.
"""

import json
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.store.output_file import STDOUT, is_special, is_stdout, target, write_stdout, write_text

OPTION = "--json"


def write_json(path: Path | None, result: dict[str, Any]) -> None:
    """Write a result where ``--json`` says, if it does."""
    if path is None:
        return
    text = json.dumps(result, indent=1) + "\n"
    if path == STDOUT:
        write_stdout(text)
    else:
        write_text(path, text)


def is_report(path: Path) -> bool:
    """Whether a file holds a JSON object, as every report does: no other is removed, or replaced by an error."""
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError, RecursionError):
        return False


def remove_report(path: Path) -> None:
    """Remove the report of an earlier run."""
    if not is_special(path) and is_report(path):
        target(path).unlink()


@dataclass(frozen=True)
class Report:
    """The report that a command line asks for, known before the line is understood."""

    path: Path | None = None
    clash: bool = False  # another word of the command line names the same file

    @classmethod
    def of(cls, words: Sequence[str]) -> "Report":
        """The report of a command line."""
        found: str | None = None
        rest: list[str] = []
        left = iter(words)
        for word in left:
            name, equals, value = word.partition("=")
            if name == OPTION:
                found = value if equals else next(left, None)
            else:
                rest += [word, value] if equals else [word]
        if found is None:
            return cls()
        path = Path(found)
        return cls(path, path != STDOUT and not is_special(path) and any(_same_file(found, word) for word in rest))

    @contextmanager
    def tables(self) -> Generator[None]:
        """Where a command prints: to standard error while the report goes to standard output."""
        if self.path is None or not is_stdout(self.path):
            yield
            return
        with redirect_stdout(sys.stderr):
            yield

    def fail(self, message: str) -> None:
        """Write why there is no result; what is no report stays as it is, and so does a place that takes none."""
        if self.path is None or self.clash:
            return
        try:
            old = self.path != STDOUT and not is_special(self.path) and self.path.exists()
            if not old or is_report(self.path):
                write_json(self.path, {"error": message})
        except OSError:
            return  # the message has been printed


def _same_file(one: str, other: str) -> bool:
    """Whether two words name one file, there or not."""
    try:
        return os.path.realpath(one) == os.path.realpath(other) or os.path.samefile(one, other)
    except (OSError, ValueError):
        return False
