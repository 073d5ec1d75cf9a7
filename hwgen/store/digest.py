"""Names by content: hashes of plain data and of the project's own sources."""

import hashlib
import importlib.util
import json
import os
import time
from pathlib import Path
from typing import Any

_SOURCES = (".py", ".j2")
_STARTED = time.time()


def digest(*parts: Any) -> str:
    """Hash of anything that JSON can hold; anything else by its text."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Hash of a file's contents."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def source_digest(*folders: Path) -> str:
    """Hash of every Python source and template below some folders: another generator may write another text.

    A source that was changed after this process began may not be what the process runs: the hash is then one that no
    other process has, so that nothing made from the old source is kept under the name of the new one.
    """
    result = hashlib.sha256()
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.suffix in _SOURCES):
            result.update(f"{path.relative_to(folder)}\n".encode())
            result.update(path.read_bytes())
            if _STARTED < path.stat().st_mtime <= time.time():  # a later time is that of another clock
                result.update(f"changed during {os.getpid()} of {_STARTED}\n".encode())
    return result.hexdigest()


def part_digest(*parts: str) -> str:
    """The same of parts of the project by their module names, such as ``hwgen.rtl``; imports none of them."""
    folders: list[Path] = []
    for part in parts:
        spec = importlib.util.find_spec(part)
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(f"{part} is no package")
        folders.append(Path(next(iter(spec.submodule_search_locations))))
    return source_digest(*folders)
