"""What takes long to make is made once: kept by content, one folder a user, whatever the current folder is.

``HWGEN_CACHE`` names the folder; without it the platform's own place for caches is taken. Nothing in it is needed: it
may be removed at any time, and what is missing or damaged is made again. An entry is a file named by the hash of all
that it depends on, and beside it the hash of its contents. Two processes that want one entry make it once.
"""

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from platformdirs import user_cache_path

from hwgen.store.digest import file_digest
from hwgen.store.locked_file import locked
from hwgen.store.output_file import placed, write_text

Result = TypeVar("Result")
VARIABLE = "HWGEN_CACHE"
MIB = 1 << 20
TAG = "CACHEDIR.TAG"  # by this file backup programs know a cache, and `clear` knows that the folder is ours
TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by hwgen; `hwgen cache --clear` empties it.\n"
MAKE_SECONDS = 1800.0  # longest wait for another process that makes the same entry
SUM = ".sha256"  # suffix of the file with the hash of an entry's contents


@dataclass(frozen=True)
class Kind:
    """One folder of the cache."""

    meaning: str
    limit_mib: int | None  # the entries that were longest not used go first; None: its maker keeps few


KINDS = {
    "verilog": Kind("Verilog of machines", 512),
    "simulators": Kind("compiled simulators, the newest ones", None),
    "packages": Kind("quantised networks of presets and YAML files", 2048),
    "float": Kind("tensors of the float model", 2048),
    "synthesis": Kind("netlists of single modules", 512),
    "clocks": Kind("clocks of single units after place and route", 64),
}


@dataclass(frozen=True)
class Usage:
    """How much of one kind is there."""

    kind: str
    meaning: str
    entries: int
    bytes: int


def cache_folder() -> Path:
    """The folder of all kinds, absolute; not made."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser().absolute() if named else user_cache_path("hwgen")


def kind_folder(kind: str) -> Path:
    """The folder of one of `KINDS`, made when it is not there; OSError says how to name another place."""
    if kind not in KINDS:
        raise ValueError(f"cache kind {kind!r} is none of {', '.join(KINDS)}")
    root = cache_folder()
    folder = root / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (root / TAG).is_file():
            write_text(root / TAG, TAG_TEXT)
    except OSError as error:
        raise _refused(root, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refused(root, PermissionError(errno.EACCES, "no permission to write into it"))
    return folder


def _refused(root: Path, error: OSError) -> OSError:
    text = f"is no place for the cache ({error.strerror or error}); set {VARIABLE} to a folder that can be written"
    return OSError(error.errno, text, str(root))


def kept(kind: str, name: str, make: Callable[[Path], None], read: Callable[[Path], Result]) -> Result:
    """What ``read`` finds in the entry ``name``, which ``make`` writes when it is not there or damaged.

    ``name`` holds a hash of all that the entry depends on, and its suffix. Both functions take a file's path.
    """
    path = kind_folder(kind) / name
    if found := _found(path, read):
        return found[0]
    with locked(path.with_name(f".{name}.lock"), MAKE_SECONDS):
        if found := _found(path, read):  # another process has made it meanwhile
            return found[0]
        _remove(path)
        with placed(path) as part:
            make(part)
            result, contents = read(part), file_digest(part)  # before anybody can clear it
        write_text(_sum_of(path), contents)
        prune(kind, keep=path)
        return result


def kept_text(kind: str, name: str, make: Callable[[], str]) -> str:
    """The text of the entry ``name``, which ``make`` returns when it is not there."""
    return kept(kind, name, lambda part: write_text(part, make()), lambda path: path.read_bytes().decode())


def _sum_of(path: Path) -> Path:
    return path.with_name(path.name + SUM)


def _is_whole(path: Path) -> bool:
    """Whether an entry is there as it was made."""
    try:
        return _sum_of(path).read_text() == file_digest(path)
    except (OSError, ValueError):  # the sum may be damaged, too
        return False


def _found(path: Path, read: Callable[[Path], Result]) -> list[Result]:
    """What ``read`` finds in an entry; nothing when it is not there as it was made."""
    if not _is_whole(path):
        return []
    with suppress(OSError):  # gone in this moment, or somebody else's: it only goes sooner
        os.utime(path)
    try:
        return [read(path)]
    except Exception:
        if _is_whole(path):
            raise
        return []  # another process clears the cache


def prune(kind: str, keep: Path | None = None) -> None:
    """Remove the entries of a kind that were longest not used, until the rest is within its limit."""
    entries, limit = _entries(kind), KINDS[kind].limit_mib
    total = sum(size for _, size, _ in entries)
    for path, size, _ in sorted(entries, key=lambda entry: entry[2]):
        if limit is None or total <= limit * MIB:
            return
        if path != keep:
            _remove(path)
            total -= size


def usage() -> list[Usage]:
    """How much of every kind is there."""
    found = [(kind, _entries(kind)) for kind in KINDS]
    return [Usage(kind, KINDS[kind].meaning, len(items), sum(size for _, size, _ in items)) for kind, items in found]


def clear(kind: str) -> Usage:
    """Remove every entry of a kind, and say what they were; nothing in a folder that hwgen has not made."""
    entries = _entries(kind) if (cache_folder() / TAG).is_file() else []
    for path, _, _ in entries:
        _remove(path)
    return Usage(kind, KINDS[kind].meaning, len(entries), sum(size for _, size, _ in entries))


def _entries(kind: str) -> list[tuple[Path, int, float]]:
    """Path, bytes and time of last use of every entry, a file or a folder; what is being made is none."""
    root = cache_folder()
    if root.exists() and not root.is_dir():
        raise _refused(root, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    folder = root / kind
    found: list[tuple[Path, int, float]] = []
    if not folder.is_dir():
        return found
    for path in folder.iterdir():
        if path.name.startswith(".") or path.suffix == SUM:
            continue
        with suppress(FileNotFoundError):  # removed by another process
            found.append((path, _bytes(path), path.stat().st_mtime))
    return found


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(item.stat().st_size for item in files if item.is_file())


def _remove(path: Path) -> None:
    for item in (path, _sum_of(path)):
        if item.is_dir():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink(missing_ok=True)
