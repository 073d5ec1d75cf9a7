"""What the user asked for, checked: names become records, and whatever is wrong is said before any work begins."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from golden.reference.scenes import HELD_OUT_FIRST_SEED, draw_scene
from hwgen.compiler.fit import check_fit
from hwgen.frontend.pictures import PictureError, open_rgb
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


class InputError(ValueError):
    """Something that the user gave cannot be used; the message says what, where, the limit and what to do."""


@dataclass(frozen=True, kw_only=True)
class VerifyRequest:
    """What ``hwgen verify`` is asked for, as the user says it; nothing is checked yet."""

    board: str  # name
    model: str = "m3vit-micro"  # preset, package, or a YAML file that describes a network
    arch: str | None = None  # preset or file; the board's own when not given
    weights: str | None = None  # WHAT=BITS,..
    image: Path | None = None  # a picture instead of generated scenes
    task: str | None = None  # a name or ``all``; the first when not given
    images: int = 1  # generated scenes
    seed: int = 0  # ... and which
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


def read_image(path: Path, model: Model) -> NDArray[np.uint8]:
    """Pixels [height, width, 3] of an image file that has exactly the model's size."""
    try:
        pixels = np.asarray(open_rgb(path))
    except FileNotFoundError as error:
        raise InputError(f"--image {path}: no such file") from error
    except (PictureError, OSError) as error:
        raise InputError(f"--image {path}: not a readable image ({error}); give a PNG") from error
    height, width = pixels.shape[:2]
    if (height, width) != (model.image_height, model.image_width):
        raise InputError(
            f"--image {path}: {width} x {height} pixels (width x height), {model.name} takes exactly"
            f" {model.image_width} x {model.image_height}; scale or crop it first"
        )
    return pixels


def images_for(model: Model, image: Path | None, count: int, seed: int) -> list[NDArray[np.uint8]]:
    """The images of a run: the file that was given, or ``count`` generated scenes that no training has seen."""
    if image is not None:
        if count != 1:
            raise InputError(f"--image gives one image and --images asks for {count}; leave one of them out")
        return [read_image(image, model)]
    seeds = range(HELD_OUT_FIRST_SEED + seed, HELD_OUT_FIRST_SEED + seed + count)
    return [draw_scene(s, height=model.image_height, width=model.image_width).image for s in seeds]


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


def not_both(json_file: Path | None, others: Iterable[Path]) -> None:
    """Refuse a report that would be written over a file that the command reads or writes."""
    for other in others:
        if json_file is not None and json_file.resolve() == other.resolve():
            raise InputError(f"--json {json_file}: is a file that the command reads or writes; give another name")


def writable_folder(path: Path, option: str) -> None:
    """Refuse a build folder that is a file."""
    for place in (path, *path.parents):
        if place.exists():
            if not place.is_dir():
                raise InputError(f"{option} {path}: {place} is a file; give a folder")
            _permitted(place, f"{option} {path}")
            return
