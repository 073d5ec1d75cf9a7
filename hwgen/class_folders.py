"""Labelled pictures of one's own: a folder with a folder for every class."""

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from hwgen.frontend.pictures import SUFFIXES, Fit, Fitted, picture_files
from hwgen.report.labels import LabelError, Labels
from hwgen.request import InputError, read_image
from hwgen.spec.graph_model import Model
from hwgen.spec.model import TaskConfig

DATA = "--data"


@dataclass(frozen=True, kw_only=True)
class LabelledPicture:
    """A picture and its class."""

    path: Path
    label: int  # index of the class

    def read(self, model: Model, fit: Fit) -> Fitted:
        """The picture at the size of a network; InputError says why not."""
        return read_image(self.path, model, fit, DATA)


@dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """The pictures that a classifier is measured on."""

    folder: Path
    task: TaskConfig
    fit: Fit
    pictures: tuple[LabelledPicture, ...]  # the first of every class, then the second ones: any beginning is a sample


def classifier_of(model: Model, task: str | None) -> TaskConfig:
    """The classification task of this name, the first one when none is given; InputError when there is none."""
    found = [item for item in model.tasks if item.kind == "classification" and task in (None, item.name)]
    if not found:
        tasks = ", ".join(f"{item.name} ({item.kind})" for item in model.tasks)
        option = DATA if task is None else f"--task {task}"
        raise InputError(f"{option}: {model.name} has the tasks {tasks}; folders of classes judge a classification")
    return found[0]


def _index(name: str, place: int, labels: Labels | None, folder: Path) -> int:
    """The class of a folder: by its name, or its place where classes have no names."""
    if labels is None:
        return place
    try:
        return labels.index(name)
    except LabelError as error:
        raise InputError(f"{DATA} {folder / name}: {error}; folders have the names of --labels") from error


def _check_count(folder: Path, found: int, model: Model, task: TaskConfig, *, named: bool) -> None:
    """Refuse folders that cannot be the classes of a task."""
    if not found:
        raise InputError(f"{DATA} {folder}: no folders in it; give one for every class, with its pictures inside")
    what = f"{DATA} {folder}: {found:,} folders, task {task.name} of {model.name} has {task.classes:,} classes"
    if found > task.classes:
        raise InputError(what)
    if found < task.classes and not named:
        raise InputError(
            f"{what}; the order of the folders is that of the classes: give all of them, or their names by --labels"
        )


def class_folders(folder: Path, model: Model, task: TaskConfig, labels: Labels | None, fit: Fit) -> ClassFolders:
    """The pictures in ``folder/CLASS/``; InputError when they are none, or no classes of the task.

    Folders have names of ``labels``, not necessarily all of them. Without labels they are all classes in the order of
    their names, as torchvision's ImageFolder counts them.
    """
    if not folder.is_dir():
        raise InputError(f"{DATA} {folder}: no such folder")
    names = sorted(place.name for place in folder.iterdir() if place.is_dir() and not place.name.startswith("."))
    _check_count(folder, len(names), model, task, named=labels is not None)
    indices = [_index(name, place, labels, folder) for place, name in enumerate(names)]
    by_class = [
        [LabelledPicture(path=path, label=index) for path in picture_files(folder / name)]
        for name, index in zip(names, indices, strict=True)
    ]
    pictures = tuple(item for turn in zip_longest(*by_class) for item in turn if item is not None)
    if not pictures:
        raise InputError(f"{DATA} {folder}: no picture in its {len(names)} folders ({', '.join(SUFFIXES)})")
    return ClassFolders(folder=folder, task=task, fit=fit, pictures=pictures)
