"""Steps run once, again when their input or their files change, and leave nothing half-written."""

import json
from pathlib import Path

import pytest

from hwgen.steps import RECORD, Steps


def _build(folder: Path, key: str, text: str = "a") -> tuple[bool, list[str]]:
    said: list[str] = []
    steps = Steps(folder, ["write", "count"], said.append)
    ran = steps.files("write", key, lambda part: (part / "out.txt").write_text(text) and None)
    assert steps.run("count", lambda: 3) == 3
    assert list(steps.seconds) == ["write", "count"]
    steps.settle()
    assert sorted(path.name for path in folder.iterdir()) == ["out.txt", RECORD]
    return ran, said


def test_a_step_runs_once(tmp_path: Path):
    assert _build(tmp_path / "b", "k")[0]
    assert not _build(tmp_path / "b", "k", "not written")[0]
    assert (tmp_path / "b" / "out.txt").read_text() == "a"


def test_a_step_runs_again_when_its_input_changes(tmp_path: Path):
    assert _build(tmp_path, "k")[0]
    assert _build(tmp_path, "other", "new")[0]
    assert (tmp_path / "out.txt").read_text() == "new"


RECORDS = ["{ spoilt", "[]", '{"write": 3}', '{"write": {"key": "k"}}', '{"write": {"key": "k", "files": {}}}']


@pytest.mark.parametrize("record", RECORDS)
def test_a_step_runs_again_when_its_record_says_nothing(tmp_path: Path, record: str):
    """An empty list of files holds for the files of any other design."""
    (tmp_path / "out.txt").write_text("of another design")
    (tmp_path / RECORD).write_text(record)
    assert _build(tmp_path, "k")[0]
    assert (tmp_path / "out.txt").read_text() == "a"


@pytest.mark.parametrize("spoil", ["edit", "remove"])
def test_a_step_runs_again_when_its_files_change(tmp_path: Path, spoil: str):
    assert _build(tmp_path, "k")[0]
    path = tmp_path / "out.txt"
    path.unlink() if spoil == "remove" else path.write_text("{ spoilt")
    assert _build(tmp_path, "k")[0]
    assert (tmp_path / "out.txt").read_text() == "a"


def test_progress_names_number_and_seconds(tmp_path: Path):
    said = _build(tmp_path, "k")[1]
    assert said[0] == "[1/2] write ..."
    assert said[-1].startswith("[2/2] count (0.0 s)")


@pytest.mark.parametrize("error", [RuntimeError("disk on fire"), KeyboardInterrupt("disk on fire")])
def test_a_failed_step_leaves_nothing(tmp_path: Path, error: BaseException):
    def make(part: Path) -> None:
        (part / "half.txt").write_text("half")
        raise error

    steps = Steps(tmp_path, ["write"], lambda _: None)
    with pytest.raises(type(error), match="disk on fire"):
        steps.files("write", "k", make)
    assert list(tmp_path.iterdir()) == []


def test_an_unannounced_step_is_refused(tmp_path: Path):
    steps = Steps(tmp_path, ["one"], lambda _: None)
    with pytest.raises(ValueError, match="step 'two' is out of order: expected 'one'"):
        steps.run("two", lambda: None)
    steps.run("one", lambda: None)
    with pytest.raises(ValueError, match="expected 'no further step'"):
        steps.run("one", lambda: None)


def test_the_record_is_json(tmp_path: Path):
    _build(tmp_path, "k")
    assert set(json.loads((tmp_path / RECORD).read_text())) == {"write"}


def test_items_of_a_step_stand_side_by_side(tmp_path: Path):
    def build(item: str) -> bool:
        steps = Steps(tmp_path, ["write"], lambda _: None)
        ran = steps.files("write", "k", lambda part: (part / item).write_text(item) and None, item)
        steps.settle()
        return ran

    assert [build(item) for item in ("a", "b", "a", "b")] == [True, True, False, False]
