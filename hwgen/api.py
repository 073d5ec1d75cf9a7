"""The Python API: what the command line does, as functions that return arrays. All of it is exported by ``hwgen``.

Boards, machines and networks are given by name, as on the command line: ``board`` as `boards` lists them; ``model`` a
preset (`models`), a package (a path in ``.safetensors``) or a YAML file; ``arch`` a preset or a YAML file, else the
machine of the board; ``weights`` the bits of some layers' weights, such as ``"experts=4"``.
What cannot be used raises `InputError`, or `CompileError` when the network does not fit the machine, before any work.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.network import run_network
from hwgen import pipeline
from hwgen.estimator.estimate import Estimate
from hwgen.frontend.importers.imported import ImportOptions
from hwgen.frontend.pictures import Fit
from hwgen.frontend.store import load_model
from hwgen.imports import Calib, check_place, finish
from hwgen.pipeline import Build, Wanted, build_folder
from hwgen.report.verification import Verification
from hwgen.request import (
    LARGEST_SEED,
    MOST_IMAGES,
    InputError,
    Pictures,
    fit_of,
    labels_for,
    network,
    pictures_for,
    resolve,
    tasks_of,
    writable_folder,
)
from hwgen.spec.design import Design
from hwgen.spec.graph_model import Model
from hwgen.spec.package import QuantisedModel
from hwgen.spec.presets import MODELS
from hwgen.spec.shown import shown
from hwgen.spec.tables import Int64Array
from hwgen.store.boards import board_names

Name = str | Path
Image = NDArray[np.uint8]  # [height, width, 3]
Images = int | Name | Image | Iterable[Image]
Say = Callable[[str], None]


LARGEST_SIDE = 99_999  # of an image, pixels


def _silent(line: str) -> None:
    """Say nothing of progress."""


def boards() -> tuple[str, ...]:
    """Names of the boards that ship with hwgen."""
    return tuple(board_names())


def models() -> tuple[str, ...]:
    """Names of the networks that need no file: one has trained weights, the others seeded random ones."""
    return tuple(MODELS)


def load(model: Name = "m3vit-micro", *, weights: str | None = None) -> QuantisedModel:
    """The integers of a network: ``arrays`` by name, ``config``, and what codes are worth: (code - zero) * scale.

    ``scales`` has every tensor, ``zeros`` those of hidden units, whose value 0 may have another code than 0.
    A preset without trained weights has seeded random ones. Takes some seconds for a large network, then is cached.
    """
    config, file = network(_name(model, "model"), _text(weights, "weights"))
    return load_model(file or config.name, int4=config.int4)


def golden(model: Name | QuantisedModel, image: Image, task: str | None = None) -> dict[str, Int64Array]:
    """Every named tensor of an image on the golden model, int64 codes of logical shapes, in the order of computation.

    ``image`` is uint8 [height, width, 3] of the network's size; ``task`` the first when not given. ValueError says what
    the network takes. These are the bits that the RTL makes on every machine; rows that no machine computes, because
    nothing reads them, are there too.
    """
    package = model if isinstance(model, QuantisedModel) else load(model)
    return run_network(package, _array(image), task or package.config.tasks[0].name)


def build(
    board: str,
    model: Name = "m3vit-micro",
    *,
    arch: Name | None = None,
    weights: str | None = None,
    output: Name | None = None,
    say: Say = _silent,
) -> Build:
    """Write the Verilog of a machine, the files of its board, and a network's memory image and programs.

    They go into ``output``, below ``build`` of the current folder when not given. The result holds ``folder``,
    ``verilog`` (text), ``compiled`` (programs and memory image), ``package`` and ``estimates``, one a task. ``say``
    takes lines of progress, such as ``print``. Half a minute for a machine that is new, a second otherwise.
    """
    design, folder = _design(board, model, arch, weights, output)
    return pipeline.build(design, folder, say)[0]


def estimate(
    board: str, model: Name = "m3vit-micro", *, arch: Name | None = None, weights: str | None = None
) -> dict[str, Estimate]:
    """Task -> cycles, DDR bytes, resources and the cycles of every instruction, without building anything.

    ``cycles`` count from start to interrupt, ``milliseconds`` at the board's clock. Takes seconds.
    """
    design = resolve(*_names(board, model, arch, weights))
    return {task.name: pipeline.estimate(design, task.name) for task in design.model.tasks}


def verify(
    board: str,
    model: Name = "m3vit-micro",
    *,
    images: Images = 1,
    seed: int = 0,
    task: str | None = None,
    arch: Name | None = None,
    weights: str | None = None,
    self_test: bool = False,
    waves: bool = False,
    fit: str = "crop",
    labels: Name | None = None,
    output: Name | None = None,
    say: Say = _silent,
) -> Verification:
    """Send images through the Verilog, and compare every named tensor with golden, bit for bit.

    Parameters
    ----------
    images: a number of generated scenes, the path of a picture or of a folder of them, one array uint8
        [height, width, 3], or several of them.
    seed: which generated scenes.
    task: a name, ``"all"``, or the first when not given.
    self_test: spoil one bit of the weights for the RTL; a good run then finds mismatches.
    waves: also write a waveform (VCD) into the folder ``waves`` of the build: slow, some 50 KB a cycle.
    fit: what becomes of picture files of another size: ``"crop"``, ``"pad"`` or ``"exact"``, which refuses them.
    labels: a file with the names of a classifier's classes: a name a line, or JSON.
    output, say: as `build` takes them.

    ``run[name]``, or ``run[task, name]``, is a `Tensor`; ``run.good`` says whether all is equal, ``run.first`` what is
    wrong first, ``run.report()`` gives figures as data, ``run.picture()`` the maps, ``run.classifications()`` the best
    classes of a classifier. A machine's first run takes minutes, in which its simulator is compiled; later ones take
    seconds. MachineError when the machine stops with an error code, SimulationError when the simulation fails,
    ToolMissing when there is no compiler.
    """
    design, folder = _design(board, model, arch, weights, output)
    tasks = tasks_of(design.model, _text(task, "task"))
    names = labels_for(None if labels is None else Path(_name(labels, "labels")), design.model, tasks)
    pictures = _pictures(design.model, images, _whole(seed, "seed", 0, LARGEST_SEED), fit_of(_name(fit, "fit")))
    wanted = Wanted(
        images=pictures.images,
        tasks=tasks,
        waves=waves,
        self_test=self_test,
        image_names=pictures.names,
        labels=names,
    )
    return pipeline.verify(design, folder, wanted, say)


def from_timm(
    model: Any,
    name: str,
    *,
    output: Name = ".",
    calib: Name | None = None,
    calib_images: int = 8,
    image_size: tuple[int, int] | None = None,
    mean: float | tuple[float, ...] | None = None,
    std: float | tuple[float, ...] | None = None,
    drop_distillation: bool = False,
    allow_dead_channels: bool = False,
    say: Say = _silent,
) -> Path:
    """Import a live vision transformer of timm's; returns the path of the package, which `verify` and `build` take.

    Every attribute of the module is read. What the machine does not compute is refused with the name of the part
    (`PackageError`), before anything is written; then the network is run on two images beside the module itself, in
    float32, and refused below 60 dB of agreement, with the first block that differs.

    Parameters
    ----------
    model: a ``VisionTransformer`` or ``VisionTransformerDistilled``; it is not changed.
    name: of the network and of its files, ``NAME.safetensors`` (quantised) and ``NAME.float.safetensors``.
    output: folder of the files.
    calib: a folder of pictures whose first ``calib_images`` set the scales; generated scenes otherwise.
    image_size: height and width in pixels, when not the module's own; its position embedding is resized.
    mean, std: of pixels / 255, per colour or one for all; those of ``pretrained_cfg`` when not given, else 0.5.
    drop_distillation: leave out the distillation token and its head, which changes predictions.
    allow_dead_channels: let channels pass whose weights have no variance.
    say: takes the notes that ``hwgen import`` prints, such as ``print``.
    """
    from hwgen.frontend.importers.timm_run import import_live  # here: needs torch

    name, folder, pictures = _name(name, "name"), Path(_name(output, "output")), _text(calib, "calib")
    check_place(name, folder, None, "name")
    options = ImportOptions(
        name=name,
        image_size=None if image_size is None else _sides(image_size),
        mean=None if mean is None else _colours(mean, "mean"),
        std=None if std is None else _colours(std, "std"),
        drop_distillation=drop_distillation,
    )
    count = _whole(calib_images, "calib_images", 1, MOST_IMAGES)
    imported, agreed, digest = import_live(model, options, allow_dead=allow_dead_channels)
    source = {"import": "timm", "source": "live module", "source_sha256": digest}
    calibrating = Calib(folder=None if pictures is None else Path(pictures), images=count)
    done = finish(imported, source, folder, calibrating, agreed)
    for line in done.lines:
        say(line)
    return done.package


def _name(name: object, what: str) -> str:
    """A name as text; InputError when it is something else."""
    if not isinstance(name, str | Path):
        raise InputError(f"{what} = {shown(name)}: give a name or a path")
    return str(name)


def _text(name: object, what: str) -> str | None:
    return None if name is None else _name(name, what)


def _whole(number: object, what: str, least: int, most: int) -> int:
    """A whole number, also one of NumPy's; InputError when it is none, or outside its limits."""
    if not isinstance(number, int | np.integer):
        raise InputError(f"{what} = {shown(number)}: give a whole number")
    if not least <= number <= most:
        raise InputError(f"{what} = {shown(int(number))}: give at least {least} and at most {most:,}")
    return int(number)


def _sides(size: object) -> tuple[int, int]:
    """Height and width of images; InputError when these are none."""
    sides: list[Any] = list(size) if isinstance(size, tuple | list) else []
    if len(sides) != 2:
        raise InputError(f"image_size = {shown(size)}: give (height, width) in pixels")
    return _whole(sides[0], "image_size", 1, LARGEST_SIDE), _whole(sides[1], "image_size", 1, LARGEST_SIDE)


def _colours(values: object, what: str) -> tuple[float, ...]:
    """A number per colour, or one for all; InputError when these are none."""
    found: list[Any] = list(values) if isinstance(values, tuple | list | np.ndarray) else [values]
    if not found or any(isinstance(value, bool) or not isinstance(value, int | float | np.number) for value in found):
        raise InputError(f"{what} = {shown(values)}: give a number, or one for each colour")
    return tuple(float(value) for value in found)


def _names(board: object, model: object, arch: object, weights: object) -> tuple[str, str, str | None, str | None]:
    """What `resolve` takes."""
    return _name(board, "board"), _name(model, "model"), _text(arch, "arch"), _text(weights, "weights")


def _design(
    board: str, model: Name, arch: Name | None, weights: str | None, output: Name | None
) -> tuple[Design, Path]:
    """What the names stand for, and the folder of the build."""
    design = resolve(*_names(board, model, arch, weights))
    folder = build_folder(design) if output is None else Path(_name(output, "output"))
    writable_folder(folder, "output")
    return design, folder


def _array(image: object) -> NDArray[Any]:
    try:
        return np.asarray(image)
    except ValueError:  # lists of several lengths
        return np.asarray(None)


def _pictures(model: Model, images: Images, seed: int, fit: Fit) -> Pictures:
    """Pixels of every image; InputError when there is none, or one has another size or type."""
    if isinstance(images, int | np.integer):
        return pictures_for(model, None, _whole(images, "images", 1, MOST_IMAGES), seed)
    if isinstance(images, str | Path):
        return pictures_for(model, Path(images), None, seed, fit)
    if not isinstance(images, Iterable):
        raise InputError(f"images = {shown(images)}: give a number, the path of a picture or a folder, or arrays")
    one = isinstance(images, np.ndarray) and images.ndim == 3
    given: list[Any] = [images] if one else list(islice(images, MOST_IMAGES + 1))
    if len(given) > MOST_IMAGES:
        raise InputError(f"images holds more than {MOST_IMAGES:,}; give fewer in one run")
    wanted = (model.image_height, model.image_width, model.channels)
    for number, image in enumerate(given):
        pixels = _array(image)
        if pixels.shape != wanted or pixels.dtype != np.uint8:
            raise InputError(
                f"image {number} is {pixels.dtype}{list(pixels.shape)}, {model.name} takes uint8{list(wanted)};"
                " scale or crop it first"
            )
    if not given:
        raise InputError("images holds none; give at least one")
    return Pictures(
        images=[np.asarray(image) for image in given], names=tuple(f"image {n + 1}" for n in range(len(given)))
    )
