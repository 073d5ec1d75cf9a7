"""A mutant: the RTL with one piece of its text replaced, and the test that must notice.

The mutated module is imported in place of the real one, together with fresh copies of everything in ``hwgen.rtl`` and
``tests.rtl`` that may have taken names from it; afterwards the real modules are back.
"""

import gc
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Literal

FRESH = ("hwgen.rtl.", "tests.rtl.")


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One small change of a unit, and a test function of that unit (with arguments for its parameters)."""

    name: str
    kind: Literal["table", "rounding", "range", "address", "order"]
    module: str  # below hwgen.rtl: "room.module"
    old: str  # occurs exactly once in the module
    new: str
    test: str  # "room.file:function" below tests.rtl
    arguments: tuple[Any, ...] = ()


class _Source(SourceLoader):
    """Loads a module from a text."""

    def __init__(self, path: str, text: str) -> None:
        self._path, self._text = path, text

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_data(self, path: str) -> bytes:
        return self._text.encode()

    def source_to_code(self, data: Any, path: Any = "<string>") -> CodeType:
        return compile(data, path, "exec")


class _Finder(MetaPathFinder):
    """Answers for one module."""

    def __init__(self, name: str, path: str, text: str) -> None:
        self._name, self._path, self._text = name, path, text

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, _Source(self._path, self._text))


def mutated_text(module: str, old: str, new: str) -> tuple[str, str]:
    """Path and changed text of a module; ValueError when ``old`` is not there exactly once."""
    spec = importlib.util.find_spec(f"hwgen.rtl.{module}")
    if spec is None or spec.origin is None:
        raise ValueError(f"no module hwgen.rtl.{module}")
    text = Path(spec.origin).read_text()
    if text.count(old) != 1:
        raise ValueError(f"{spec.name} has {text.count(old)} times {old!r}, a mutant needs it exactly once")
    return spec.origin, text.replace(old, new)


@contextmanager
def in_place(module: str, old: str, new: str) -> Iterator[None]:
    """The mutated module instead of the real one.

    A simulation that failed leaves suspended coroutines. They are collected here, because Python 3.11 ends with "AST
    constructor recursion depth mismatch" when their clean-up runs while the imports below compile.
    """
    gc.collect()
    path, text = mutated_text(module, old, new)
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(FRESH)}
    finder = _Finder(f"hwgen.rtl.{module}", path, text)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith(FRESH)]:
            del sys.modules[name]
        sys.modules.update(kept)
        for name, real in kept.items():
            parent, _, leaf = name.rpartition(".")
            setattr(sys.modules[parent], leaf, real)


def unit_test(test: str) -> Callable[..., None]:
    """The function "room.file:function" below tests.rtl, as it sees the modules of this moment."""
    file, _, function = test.partition(":")
    return getattr(importlib.import_module(f"tests.rtl.{file}"), function)
