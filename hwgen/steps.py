"""Named, resumable steps of a build: what ran, what was still good, and how long each took.

Several builds may run in one folder at a time. Each makes its files in a folder of its own; they are moved to their
place, checked and recorded under a lock. `Steps.settle` ends a build: what another build has replaced is put back, so
that the folder holds all files of the build that ends last.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hwgen.store.locked_file import locked, try_lock
from hwgen.store.output_file import named, placed, write_text

Result = TypeVar("Result")
Make = Callable[[Path], None]
RECORD = "steps.json"  # which step left which files, and from what
LOCK = ".steps.lock"  # there while a build moves files
PERCENT_STEP = 2  # of a step that says how far it is
LOCK_SECONDS = 120.0  # many times what moving the files of a build takes
PRIVATE = ".part-"  # first characters of the folder of a build that runs
OWNER = "owner.lock"  # in it: held as long as its build lives


@dataclass
class _Entry:
    """What one step of this build leaves."""

    key: str
    make: Make
    made: Path | None = None  # its files, when this build has made them


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
        self._running = ""  # the step that runs, as progress names it
        self._percent = 0  # of it, as said last
        self._entries: dict[str, _Entry] = {}
        self._private: Path | None = None
        self._owner: int | None = None

    def run(self, name: str, make: Callable[[], Result]) -> Result:
        """A step that always runs; ValueError when its name was not announced or it comes too early."""
        expected = self.names[len(self.seconds)] if len(self.seconds) < len(self.names) else "no further step"
        if name != expected:
            raise ValueError(f"step {name!r} is out of order: expected {expected!r}")
        self._running = place = f"[{len(self.seconds) + 1}/{len(self.names)}] {name}"
        self._percent = 0
        self._say(f"{place} ...")
        started = time.monotonic()
        try:
            result = make()
        except BaseException:
            self._close()
            raise
        self.seconds[name] = time.monotonic() - started
        self._say(f"{place} ({self.seconds[name]:.1f} s)")
        return result

    def share(self, done: float) -> None:
        """Say that a share of the step that runs is done, now and then."""
        percent = int(100 * done)
        if percent >= self._percent + PERCENT_STEP:
            self._percent = percent
            self._say(f"{self._running} ... {percent} %")

    def files(self, name: str, key: str, make: Make, item: str = "") -> bool:
        """A step that leaves files: runs only when ``key`` or its files have changed. True when it ran.

        ``make`` writes into an empty folder; its files are moved to their place together, once it has finished.
        ``item`` tells several results of one step in one folder apart.
        """
        return self.run(name, lambda: self._ready(f"{name} {item}".strip(), key, make, lambda _: None)[0])

    def text(self, name: str, key: str, file: str, make: Callable[[], str]) -> str:
        """A step that leaves one text file; its contents, whatever another build makes of the file meanwhile."""

        def write(part: Path) -> None:
            write_text(part / file, make())

        return self.run(name, lambda: self._ready(name, key, write, lambda folder: (folder / file).read_text())[1])

    def settle(self) -> None:
        """End the build: its folder holds the files of all its steps, also when another build has replaced some."""
        try:
            while missing := self._put_back():
                for entry in missing:
                    self._make(entry)
        finally:
            self._close()

    def _ready(self, entry: str, key: str, make: Make, read: Callable[[Path], Result]) -> tuple[bool, Result]:
        """Whether a step ran, and what ``read`` finds in the folder with its files."""
        self._entries[entry] = _Entry(key, make)
        if self.folder.is_dir():
            with self._locked():
                if self._is_fresh(entry):
                    return False, read(self.folder)
        made = self._make(entry)
        with self._locked():
            self._place(entry, made)
        return True, read(made)

    def _put_back(self) -> list[str]:
        """Put files of this build back where they are not in place; the steps of which it has none."""
        missing: list[str] = []
        with self._locked():
            for name, entry in self._entries.items():
                if self._is_fresh(name):
                    continue
                if entry.made is None:
                    missing.append(name)
                else:
                    self._place(name, entry.made)
        return missing

    def _is_fresh(self, entry: str) -> bool:
        """Whether the record says that the files of a step are from its key, and they are there as they were left."""
        done = self._record().get(entry)
        if not isinstance(done, dict) or done.get("key") != self._entries[entry].key:
            return False
        files = done.get("files")
        if not isinstance(files, dict) or not files:
            return False
        return all(_hash(self.folder / path) == found for path, found in files.items())

    def _make(self, entry: str) -> Path:
        """Make the files of a step in a folder of this build's own."""
        part = self._own_folder() / f"{len(list(self._own_folder().iterdir()))}"
        part.mkdir()
        try:
            self._entries[entry].make(part)
        except Exception as error:
            raise named(error, part, self.folder) from error.__cause__
        self._entries[entry].made = part
        return part

    def _place(self, entry: str, made: Path) -> None:
        """Copy files to their place and note them; the lock is held."""
        paths = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
        for path in paths:
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            with placed(self.folder / path) as part:
                shutil.copyfile(made / path, part)
        noted = {"key": self._entries[entry].key, "files": {str(path): _hash(made / path) for path in paths}}
        record = json.dumps(self._record() | {entry: noted}, indent=1, sort_keys=True)
        write_text(self.folder / RECORD, record + "\n")

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self.folder / LOCK, LOCK_SECONDS)

    def _own_folder(self) -> Path:
        """The folder of this build's own, inside the other; those of builds that were killed are removed."""
        if self._private is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                for other in self.folder.glob(f"{PRIVATE}*"):
                    _remove_abandoned(other)
                self._private = Path(tempfile.mkdtemp(prefix=PRIVATE, dir=self.folder))
                self._owner = try_lock(self._private / OWNER)
        return self._private

    def _close(self) -> None:
        """Remove the folder of this build's own."""
        if self._private is not None and self._owner is not None:
            shutil.rmtree(self._private, ignore_errors=True)
            os.close(self._owner)
        self._private = self._owner = None

    def _record(self) -> dict[str, Any]:
        path = self.folder / RECORD
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def _remove_abandoned(private: Path) -> None:
    """Remove the folder of a build unless the build still runs."""
    try:
        handle = try_lock(private / OWNER)
    except OSError:
        return  # no folder, or somebody else's
    if handle is not None:
        shutil.rmtree(private, ignore_errors=True)
        os.close(handle)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
