"""Which picture in a folder of class folders has which class, and which folders are none."""

from pathlib import Path

import pytest
from PIL import Image

from hwgen.class_folders import ClassFolders, class_folders, classifier_of
from hwgen.report.labels import Labels
from hwgen.request import InputError
from hwgen.spec.presets import M3VIT_MICRO, MODELS
from tests.golden.random_package import MINI

VIT = MODELS["vit-tiny"]
TASK = MINI.task("class")  # 7 classes
LETTERS = "abcdefg"
LABELS = Labels(tuple((f"id{n}", letter) for n, letter in enumerate(LETTERS)))


def _fill(folder: Path, **pictures: int) -> Path:
    """Class folders with so many pictures each."""
    for name, count in pictures.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (24, 16), (number, 0, 0)).save(folder / name / f"{number}.png")
    return folder


def _found(folder: Path, labels: Labels | None = None) -> ClassFolders:
    return class_folders(folder, MINI, TASK, labels, "crop")


def _listed(found: ClassFolders) -> list[tuple[str, int]]:
    return [(f"{item.path.parent.name}{item.path.stem}", item.label) for item in found.pictures]


def test_folders_are_classes_in_the_order_of_their_names(tmp_path: Path):
    """The first pictures of all classes come before the second ones, so that any beginning is a sample."""
    _fill(tmp_path, b=1, c=0, a=3, d=1, e=1, f=2, g=1)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "notes.txt").write_text("no folder")
    wanted = [("a0", 0), ("b0", 1), ("d0", 3), ("e0", 4), ("f0", 5), ("g0", 6), ("a1", 0), ("f1", 5), ("a2", 0)]
    assert _listed(_found(tmp_path)) == wanted


def test_names_of_classes_say_which_folder_is_which(tmp_path: Path):
    """By any of their names, and not all classes need be there."""
    _fill(tmp_path, g=1, id2=2)
    assert _listed(_found(tmp_path, LABELS)) == [("g0", 6), ("id20", 2), ("id21", 2)]


def test_a_picture_is_read_when_it_is_wanted(tmp_path: Path):
    _fill(tmp_path, a=1)
    (tmp_path / "a" / "1.png").write_text("none")
    good, bad = _found(tmp_path, LABELS).pictures
    assert good.read(MINI, "exact").pixels.shape == (16, 24, 3)
    with pytest.raises(InputError, match=r"--data .*a/1\.png: not a readable image"):
        bad.read(MINI, "crop")
    with pytest.raises(InputError, match=r"--data .*a/0\.png: 24 x 16 pixels .*, vit-tiny takes exactly 224 x 224"):
        good.read(VIT, "exact")


@pytest.mark.parametrize(
    ("pictures", "labels", "says"),
    [
        ({}, None, "no folders in it; give one for every class"),
        (dict.fromkeys(LETTERS, 0), None, r"no picture in its 7 folders \(\.png"),
        (dict.fromkeys("abcdefgh", 1), None, "8 folders, task class of mini has 7 classes$"),
        (dict.fromkeys("abcdefgh", 1), LABELS, "8 folders, task class of mini has 7 classes$"),
        (
            {"a": 1, "b": 1},
            None,
            "2 folders, task class of mini has 7 classes; the order of the folders",
        ),
        ({"a": 1, "id9": 1}, LABELS, r"/id9: no class is called 'id9'; did you mean 'id\d'\?; folders have the names"),
    ],
)
def test_what_is_no_set_of_classes(tmp_path: Path, pictures: dict[str, int], labels: Labels | None, says: str):
    with pytest.raises(InputError, match=says):
        _found(_fill(tmp_path, **pictures), labels)


def test_a_folder_that_is_none(tmp_path: Path):
    with pytest.raises(InputError, match=r"--data .*none: no such folder"):
        _found(tmp_path / "none")


def test_the_task_is_a_classification():
    assert classifier_of(MINI, None) == classifier_of(MINI, "class") == TASK
    with pytest.raises(InputError, match=r"--data: m3vit-micro has the tasks seg \(segmentation\), depth \(depth\); "):
        classifier_of(M3VIT_MICRO, None)
    with pytest.raises(InputError, match="--task seg: mini has the tasks"):
        classifier_of(MINI, "seg")
