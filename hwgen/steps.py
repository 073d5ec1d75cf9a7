"""Named, resumable steps of a build: what ran, what was still good, and how long each took."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hwgen.spec.output_file import write_text

Result = TypeVar("Result")
RECORD = "steps.json"  # which step left which files, and from what


def digest(*parts: Any) -> str:
    """Hash of anything that JSON can hold; anything else by its text."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def source_digest(*folders: Path) -> str:
    """Hash of every Python source and template below some folders: another generator may write another text."""
    result = hashlib.sha256()
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".j2")):
            result.update(f"{path.relative_to(folder)}\n".encode())
            result.update(path.read_bytes())
    return result.hexdigest()


class Steps:
    """The steps of one build in one folder.

    Parameters
    ----------
    folder: where files go; made when the first of them is there.
    names: every step in order, so that progress says ``[n/N]``.
    say: takes a line of progress.
    """

    def __init__(self, folder: Path, names: Sequence[str], say: Callable[[str], None]) -> None:
        self.folder = folder
        self.names = tuple(names)
        self.seconds: dict[str, float] = {}
        self._say = say

    def run(self, name: str, make: Callable[[], Result]) -> Result:
        """A step that always runs; ValueError when its name was not announced or it comes too early."""
        expected = self.names[len(self.seconds)] if len(self.seconds) < len(self.names) else "no further step"
        if name != expected:
            raise ValueError(f"step {name!r} is out of order: expected {expected!r}")
        place = f"[{len(self.seconds) + 1}/{len(self.names)}] {name}"
        self._say(f"{place} ...")
        started = time.monotonic()
        result = make()
        self.seconds[name] = time.monotonic() - started
        self._say(f"{place} ({self.seconds[name]:.1f} s)")
        return result

    def files(self, name: str, key: str, make: Callable[[Path], None], item: str = "") -> bool:
        """A step that leaves files: runs only when ``key`` or its files have changed. True when it ran.

        ``make`` writes into an empty folder; its files are moved to their place together, once it has finished.
        ``item`` tells several results of one step in one folder apart.
        """
        return self.run(name, lambda: self._fresh(f"{name} {item}".strip(), key, make))

    def _fresh(self, entry: str, key: str, make: Callable[[Path], None]) -> bool:
        done = self._record().get(entry, {})
        if done.get("key") == key and all(
            _hash(self.folder / path) == found for path, found in done.get("files", {}).items()
        ):
            return False
        part = self.folder / ".part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            make(part)
            made = sorted(path.relative_to(part) for path in part.rglob("*") if path.is_file())
            for path in made:
                (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                (part / path).replace(self.folder / path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._note(entry, {"key": key, "files": {str(path): _hash(self.folder / path) for path in made}})
        return True

    def _record(self) -> dict[str, Any]:
        path = self.folder / RECORD
        try:
            return json.loads(path.read_text())
        except (OSError, json.JSONDecodeError):
            return {}

    def _note(self, entry: str, what: dict[str, Any]) -> None:
        write_text(self.folder / RECORD, json.dumps(self._record() | {entry: what}, indent=1, sort_keys=True) + "\n")


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
