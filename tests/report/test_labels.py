"""Names of classes in every form that files have, and what is wrong with others."""

import json
from pathlib import Path

import pytest

from hwgen.report.labels import LabelError, Labels, read_labels

PETS = Labels((("cat",), ("dog",)))


def _file(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "labels"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        "cat\ndog\n",
        "cat\r\ndog\r\n\r\n",
        "\ufeffcat\ndog",
        '["cat", "dog"]',
        ' {"1": "dog", "0": "cat"}\n',
    ],
)
def test_one_list_in_many_forms(tmp_path: Path, content: str):
    assert read_labels(_file(tmp_path, content)) == PETS


def test_a_class_may_have_several_names(tmp_path: Path):
    """As the index of ImageNet has it: an id and a word. The last is shown, a folder may have either."""
    found = read_labels(_file(tmp_path, json.dumps({"0": ["n02123045", "tabby"], "1": ["n02085620", "Chihuahua"]})))
    assert len(found) == 2
    assert found.name(1) == "Chihuahua"
    assert found.index("n02123045") == found.index("tabby") == 0


def test_a_name_that_is_none_or_two(tmp_path: Path):
    labels = Labels((("crane",), ("cock",), ("crane",)))
    with pytest.raises(LabelError, match="2 classes are called 'crane': 0, 2"):
        labels.index("crane")
    with pytest.raises(LabelError, match=r"no class is called 'cok'; did you mean 'cock'\?$"):
        labels.index("cok")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no names in it"),
        ("cat\n\ndog\n", "line 2 is empty; give every class a line"),
        (b"\x89PNG\xff", "no text in UTF-8"),
        ('["cat", 5]', "class 1 is 5; give a name, or a list of names"),
        ('["cat", []]', r"class 1 is \[\]"),
        ('{"0": "cat", "2": "dog"}', "2 entries, none for class 1, and one for '2'; count from 0"),
        ('{"cat": 0, "dog": 1}', "none for class 0, and one for 'cat'"),
        ('["cat",', "begins as JSON and is none"),
        ("[" * 100_000, "begins as JSON and is none"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: str | bytes, says: str):
    with pytest.raises(LabelError, match=says):
        read_labels(_file(tmp_path, content))
