"""The cache makes an entry once, makes again what is damaged, stays within its limits, and removes only its own."""

import os
import threading
import time
from pathlib import Path

import pytest

from hwgen.store import cache
from hwgen.store.cache import TAG, VARIABLE, Kind, clear, kept, kept_text, kind_folder, usage


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def _never() -> str:
    raise AssertionError("made again")


def test_an_entry_is_made_once(folder: Path):
    assert kept_text("verilog", "a.v", lambda: "module\r\n") == "module\r\n"
    assert kept_text("verilog", "a.v", _never) == "module\r\n"
    assert (folder / TAG).read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")


@pytest.mark.parametrize("damage", ["shorter", "zeros", "no sum", "no text in the sum", "a folder", "gone"])
def test_a_damaged_entry_is_made_again(folder: Path, damage: str):
    kept_text("verilog", "a.v", lambda: "one")
    entry = folder / "verilog" / "a.v"
    if damage == "shorter":
        entry.write_text("on")
    elif damage == "zeros":
        entry.write_bytes(bytes(3))
    elif damage == "no text in the sum":
        (folder / "verilog" / "a.v.sha256").write_bytes(b"\xe8" * 64)
    elif damage in ("gone", "a folder"):
        entry.unlink()
        if damage == "a folder":
            (entry / "below").mkdir(parents=True)
    else:
        (folder / "verilog" / "a.v.sha256").unlink()
    assert kept_text("verilog", "a.v", lambda: "two") == "two"
    assert kept_text("verilog", "a.v", _never) == "two"


def test_what_fails_leaves_nothing(folder: Path):
    with pytest.raises(AssertionError, match="made again"):
        kept_text("verilog", "a.v", _never)
    assert list((folder / "verilog").iterdir()) == []


def test_an_entry_that_is_cleared_while_it_is_read_is_made_again(folder: Path):
    kept_text("verilog", "a.v", lambda: "one")

    def read(path: Path) -> str:
        if path.name == "a.v":
            clear("verilog")
            raise ValueError("no such file")  # whatever a reader says of it
        return path.read_text()

    assert kept("verilog", "a.v", lambda part: part.write_text("two") and None, read) == "two"


def test_what_a_reader_says_of_a_whole_entry_is_passed_on():
    kept_text("verilog", "a.v", lambda: "one")
    with pytest.raises(ZeroDivisionError):
        kept("verilog", "a.v", lambda part: None, lambda path: 1 // 0)


def test_two_that_want_one_entry_make_it_once():
    made: list[int] = []

    def make() -> str:
        made.append(1)
        time.sleep(0.3)
        return "text"

    threads = [threading.Thread(target=kept_text, args=("verilog", "a.v", make)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(made) == 1


def test_the_longest_unused_goes_first(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(cache.KINDS, "float", Kind("", 1))
    names = ("a", "b", "c", "d")

    def entry(name: str) -> None:
        kept("float", name, lambda part: part.write_bytes(bytes(400_000)) and None, lambda path: path)

    for age, name in enumerate(names[:2]):
        entry(name)
        os.utime(folder / "float" / name, (age, age))  # a is older than b ...
    entry("a")  # ... but used again
    entry("c")
    assert [name for name in names if (folder / "float" / name).exists()] == ["a", "c"]
    assert sum(item.entries for item in usage()) == 2
    os.utime(folder / "float" / "a", (1, 1))
    entry("d")
    assert [name for name in names if (folder / "float" / name).exists()] == ["c", "d"]


def test_clear_removes_entries_of_a_kind(folder: Path):
    kept_text("verilog", "a.v", lambda: "text")
    (kind_folder("simulators") / "bench").mkdir()
    (folder / "simulators" / "bench" / "built").write_bytes(bytes(10))
    assert [(item.kind, item.entries, item.bytes) for item in usage() if item.entries] == [
        ("verilog", 1, 4),
        ("simulators", 1, 10),
    ]
    gone = clear("simulators")
    assert (gone.entries, gone.bytes) == (1, 10)
    assert not (folder / "simulators" / "bench").exists()
    assert kept_text("verilog", "a.v", _never) == "text"


def test_a_folder_that_is_not_a_cache_keeps_its_files(folder: Path):
    (folder / "float").mkdir(parents=True)
    (folder / "float" / "mine").write_text("dear")
    assert clear("float").entries == 0
    assert (folder / "float" / "mine").read_text() == "dear"


def test_a_place_that_cannot_be_written_is_named(folder: Path):
    folder.parent.joinpath("file").write_text("")
    os.environ[VARIABLE] = str(folder.parent / "file" / "below")  # the fixture puts it back
    with pytest.raises(OSError, match="set HWGEN_CACHE to a folder that can be written"):
        kind_folder("verilog")


def test_a_file_in_the_place_of_the_cache_is_no_empty_cache(folder: Path):
    folder.write_text("dear")
    with pytest.raises(OSError, match="set HWGEN_CACHE to a folder that can be written"):
        usage()
    assert folder.read_text() == "dear"


def test_kinds_are_known():
    with pytest.raises(ValueError, match="cache kind 'x' is none of verilog"):
        kind_folder("x")
