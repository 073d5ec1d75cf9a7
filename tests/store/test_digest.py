"""Digests tell inputs and sources apart."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen.store.digest import digest, part_digest, source_digest


def test_digests_tell_inputs_apart(tmp_path: Path):
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert len({digest(1), digest("1"), digest(1, 2), digest([1, 2])}) == 4
    (tmp_path / "a.py").write_text("1")
    before = source_digest(tmp_path)
    (tmp_path / "note.txt").write_text("ignored")
    assert source_digest(tmp_path) == before
    (tmp_path / "a.py").write_text("2")
    assert source_digest(tmp_path) != before


def test_a_source_that_changes_under_a_process_is_another_for_it(tmp_path: Path):
    (tmp_path / "a.py").write_text("1")
    os.utime(tmp_path / "a.py", (1, 1))
    imports = "from pathlib import Path; from hwgen.store.digest import source_digest"
    script = f"{imports}; print(source_digest(Path({str(tmp_path)!r})))"

    def elsewhere() -> str:
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()

    assert elsewhere() == source_digest(tmp_path)
    (tmp_path / "a.py").write_text("2")
    assert elsewhere() != source_digest(tmp_path)


def test_parts_are_named_as_modules():
    assert part_digest("hwgen.spec", "boards") != part_digest("hwgen.spec")
    with pytest.raises(ValueError, match=r"hwgen\.steps is no package"):
        part_digest("hwgen.steps")
