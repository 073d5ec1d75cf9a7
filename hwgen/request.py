"""What the user asked for, checked: names become records, and whatever is wrong is said before any work begins."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from golden.reference.scenes import HELD_OUT_FIRST_SEED, draw_scene
from hwgen.compiler.fit import check_fit
from hwgen.frontend.pictures import (
    FITS,
    SUFFIXES,
    Fit,
    Fitted,
    PictureError,
    PictureSizeError,
    fit_note,
    picture_files,
    read_fitted,
)
from hwgen.report.labels import LabelError, Labels, read_labels
from hwgen.spec.design import Design, DesignError
from hwgen.spec.graph_model import Model
from hwgen.spec.model import TaskConfig
from hwgen.spec.weight_bits import with_weight_bits
from hwgen.store.archs import find_arch
from hwgen.store.boards import board as board_named
from hwgen.store.models import YAML, find_model
from hwgen.store.output_file import is_special, target
from hwgen.store.packages import load_package

Found = TypeVar("Found")
PACKAGE_SUFFIX = ".safetensors"
LARGEST_SEED = 900_000
MOST_IMAGES = 1000  # of one run: the tensors of all of them are held in memory


class InputError(ValueError):
    """Something that the user gave cannot be used; the message says what, where, the limit and what to do."""


@dataclass(frozen=True, kw_only=True)
class VerifyRequest:
    """What ``hwgen verify`` is asked for, as the user says it; nothing is checked yet."""

    board: str  # name
    model: str = "m3vit-micro"  # preset, package, or a YAML file that describes a network
    arch: str | None = None  # preset or file; the board's own when not given
    weights: str | None = None  # WHAT=BITS,..
    image: Path | None = None  # a picture, or a folder of pictures, instead of generated scenes
    fit: str = "crop"  # what becomes of pictures of another size: crop, pad or exact
    task: str | None = None  # a name or ``all``; the first when not given
    images: int | None = None  # generated scenes, 1 when not given; or pictures of the folder, all when not given
    seed: int = 0  # ... and which
    labels: Path | None = None  # file with the names of the classes
    waves: bool = False
    self_test: bool = False  # spoil one bit of the weights for the RTL
    picture: Path | None = None  # file for input and maps
    tensors: Path | None = None  # file for the arrays of every tensor
    output: Path | None = None  # build folder


def _found(find: Callable[[str], Found], name: str) -> Found:
    try:
        return find(name)
    except (ValueError, OSError) as error:
        raise InputError(str(error)) from error


def model_name(name: str, where: str) -> str:
    """The name of an imported network, which becomes a file name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise InputError(f"{where} {name!r}: give at most 64 letters, digits, dots, dashes and underscores")
    return name


def narrowed(config: Model, weights: str | None) -> Model:
    """``config`` with the bits of weights that ``--weights`` gives to some layers."""
    try:
        return with_weight_bits(config, weights) if weights is not None else config
    except ValueError as error:
        raise InputError(f"--weights {weights}: {error}") from error


def network(model: str, weights: str | None) -> tuple[Model, str]:
    """What a preset, a YAML file or a package describes, and the file that it is read from; empty for a preset."""
    if not model.endswith(PACKAGE_SUFFIX):
        config = narrowed(_found(find_model, model), weights)
        if model.lower().endswith(YAML):
            model_name(config.name, f"{model}: the network's name")
            return config, model
        return config, ""
    if weights is not None:
        raise InputError(
            f"--weights {weights}: the weights of {model} have the bits that they were quantised to; make another"
            f" package with hwgen quantize {model} --weights {weights}"
        )
    config = load_package(Path(model)).config
    model_name(config.name, f"{model}: the network's name")
    return config, model


def resolve(board: str, model: str, arch: str | None, weights: str | None = None) -> Design:
    """Records of the names, checked together; the board names its own arch when none is given.

    A model that ends in .safetensors is a package, as `hwgen import` writes it; one that ends in .yaml describes a
    network (`hwgen.store.models`). ``weights`` gives bits to the
    weights of some layers of a preset (`hwgen.spec.weight_bits`). CompileError: the machine is too small.
    """
    on_board = _found(board_named, board)
    machine = _found(find_arch, arch or on_board.arch)
    config, file = network(model, weights)
    try:
        design = Design(model=config, arch=machine, board=on_board, weights=file)
    except DesignError as error:
        raise InputError(str(error)) from error
    check_fit(config.name, config.network, machine)
    return design


def tasks_of(model: Model, task: str | None) -> tuple[TaskConfig, ...]:
    """The tasks meant by ``--task``: one by name, ``all`` of them, or the first."""
    if task == "all":
        return model.tasks
    if task is None:
        return model.tasks[:1]
    names = [item.name for item in model.tasks]
    if task not in names:
        raise InputError(f"--task {task}: {model.name} has the tasks {', '.join(names)}; give one of them or all")
    return (model.task(task),)


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The images of a run."""

    images: list[NDArray[np.uint8]]  # [height, width, 3], of the network's size
    names: tuple[str, ...]  # of the files, or which scenes
    note: str = ""  # what was done to them, in a line


def fit_of(fit: str) -> Fit:
    """The word of ``--fit``."""
    for known in FITS:
        if known == fit:
            return known
    raise InputError(f"--fit {fit}: give {', '.join(FITS[:-1])} or {FITS[-1]}")


def read_image(path: Path, model: Model, fit: Fit, option: str = "--image") -> Fitted:
    """An image file at the model's size; InputError, which starts with the option that named it."""
    try:
        return read_fitted(path, model, fit)
    except FileNotFoundError as error:
        raise InputError(f"{option} {path}: no such file") from error
    except PictureSizeError as error:
        raise InputError(f"{option} {path}: {error}") from error
    except (PictureError, OSError) as error:
        raise InputError(f"{option} {path}: not a readable image ({error}); give a PNG") from error


def _image_files(image: Path, count: int | None) -> list[Path]:
    """The files that ``--image`` means, ``count`` of them: the file itself, or the first pictures of a folder."""
    if not image.is_dir():
        if count not in (None, 1):
            raise InputError(f"--image gives one image and --images asks for {count}; leave one of them out")
        return [image]
    files = picture_files(image)
    if not files:
        raise InputError(f"--image {image}: no picture in this folder ({', '.join(SUFFIXES)})")
    if count is None and len(files) > MOST_IMAGES:
        raise InputError(f"--image {image}: {len(files):,} pictures; give --images N, at most {MOST_IMAGES:,}")
    if count is not None and count > len(files):
        raise InputError(f"--image {image}: holds {len(files)} of the {count} pictures that --images asks for")
    return files[:count]


def pictures_for(model: Model, image: Path | None, count: int | None, seed: int, fit: Fit = "crop") -> Pictures:
    """The images of a run: a picture, the first ``count`` of a folder by name, or as many generated scenes.

    ``count`` None: every picture of the folder, or one scene. No training has seen the scenes.
    """
    if image is None:
        first, many = HELD_OUT_FIRST_SEED + seed, count or 1
        size = {"height": model.image_height, "width": model.image_width}
        images = [draw_scene(first + n, **size).image for n in range(many)]
        return Pictures(images=images, names=tuple(f"scene {seed + n}" for n in range(many)))
    files = _image_files(image, count)
    read = [read_image(path, model, fit) for path in files]
    names = tuple(path.name for path in files)
    note = fit_note(sum(item.changed for item in read), len(read), model, fit)
    return Pictures(images=[item.pixels for item in read], names=names, note=note)


def images_for(
    model: Model, image: Path | None, count: int | None, seed: int, fit: Fit = "crop"
) -> list[NDArray[np.uint8]]:
    """Only the images of `pictures_for`."""
    return pictures_for(model, image, count, seed, fit).images


def labels_for(path: Path | None, model: Model, tasks: Sequence[TaskConfig]) -> Labels | None:
    """The names in the file of ``--labels``: as many as the classification tasks among ``tasks`` have classes."""
    if path is None:
        return None
    classifiers = [task for task in tasks if task.kind == "classification"]
    if not classifiers:
        kinds = ", ".join(f"{task.name} ({task.kind})" for task in tasks)
        raise InputError(f"--labels {path}: names classes of a classification task; {model.name} runs {kinds}")
    try:
        labels = read_labels(path)
    except LabelError as error:
        raise InputError(f"--labels {path}: {error}") from error
    except OSError as error:
        raise InputError(f"--labels {path}: {error.strerror or error}") from error
    for task in classifiers:
        if len(labels) != task.classes:
            raise InputError(
                f"--labels {path}: {len(labels):,} names, task {task.name} of {model.name} has {task.classes:,} classes"
            )
    return labels


def _permitted(folder: Path, what: str) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{what}: no permission to write into {folder}; give another place")


def writable_file(path: Path | None, option: str) -> None:
    """Refuse a file that could not be written at the end, before the work begins."""
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{option} {path}: is a folder; give a file name")
    if is_special(path):  # a pipe or a device is written, not replaced
        if not os.access(path, os.W_OK):
            raise InputError(f"{option} {path}: no permission to write to it; give another file")
        return
    folder = (target(path) if path.is_symlink() else path).parent
    if not folder.is_dir():
        raise InputError(f"{option} {path}: folder {folder} does not exist; make it first")
    _permitted(folder, f"{option} {path}")


def not_both(path: Path | None, others: Iterable[Path], option: str = "--json") -> None:
    """Refuse a result that would be written over a file that the command reads or writes; pipes take several."""
    for other in others:
        if path is not None and path.resolve() == other.resolve() and not is_special(path):
            raise InputError(f"{option} {path}: is a file that the command reads or writes; give another name")


def read_files(request: VerifyRequest) -> list[Path]:
    """The files that a verification reads, where they are files."""
    named = [Path(name) for name in (request.model, request.arch) if name is not None]
    image = request.image
    pictures = [] if image is None else picture_files(image) if image.is_dir() else [image]
    return [*named, *pictures, *([] if request.labels is None else [request.labels])]


def writable_folder(path: Path, option: str) -> None:
    """Refuse a build folder that is a file."""
    for place in (path, *path.parents):
        if place.exists():
            if not place.is_dir():
                raise InputError(f"{option} {path}: {place} is a file; give a folder")
            _permitted(place, f"{option} {path}")
            return
