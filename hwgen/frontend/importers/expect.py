"""What the user's own framework says of some images, and how well the imported float network agrees with it.

A file for ``--expect`` is an ``.npz`` with ``image`` and one array of outputs per task, named as the task; ``output``
will do for a network of one task. ``blocks.0``, ``blocks.1`` ... are taps: outputs of these blocks, which say where
two networks part.

image: uint8 [height, width, 3] or [images, height, width, 3], the pixels before normalisation; or floats
    [3, height, width] or [images, 3, height, width], as the framework was fed: pixels after normalisation.
outputs: floats [images, rows, values]; a row per patch, or one for the class token. ``images`` and ``rows`` may be left
    out where they are one.
taps: floats [images, tokens, channels], the residual stream behind a block, class token first; of the first task.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.importers.checkpoint import CheckpointError, listed
from hwgen.frontend.importers.imported import Imported, PixelRule
from hwgen.frontend.scaling import FloatArray
from hwgen.spec.graph_model import Model
from hwgen.spec.model import TaskConfig

AGREEMENT = "agreement"  # entry of the provenance: file, images, and dB per task
LEAST_DB = 40.0  # an int8 network is about this close to its float; another function is far below
USUAL_DB = 60.0  # float32 runs of one function are above; half precision and similar activations below
MOST_DB = 200.0  # float64 resolves no more
MOST_IMAGES = 64
_CODE_ERROR = 0.1  # of a pixel code: float16 rounds normalised pixels by that much at most
_IMAGE, _OUTPUT = "image", "output"
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Images and outputs of another framework.

    images: uint8 [images, height, width, 3]. outputs: task -> float64 [images, rows, values].
    taps: block -> float64 [images, tokens, channels].
    """

    label: str
    sha256: str
    images: NDArray[np.uint8]
    outputs: Mapping[str, FloatArray]
    taps: Mapping[str, FloatArray] = field(default_factory=dict[str, FloatArray])


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Decibels per task, of the worst image."""

    label: str
    sha256: str
    images: int
    decibels: Mapping[str, float]
    taps: Mapping[str, float] = field(default_factory=dict[str, float])  # block -> the same, in their order

    def __str__(self) -> str:
        """For the user."""
        figures = ", ".join(f"{task} {value:.1f} dB" for task, value in self.decibels.items())
        return f"{figures} on {self.images} image{'s' if self.images > 1 else ''} of {self.label}"

    @property
    def doubt(self) -> str:
        """What to think of figures that pass and are lower than usual; empty of others."""
        if min(self.decibels.values()) >= USUAL_DB:
            return ""
        return (
            f"float32 runs of one function agree to more than {USUAL_DB:g} dB: was it half precision, or a function"
            " that is nearly the same, such as another form of GELU?"
        )

    @property
    def parting(self) -> str:
        """Where two networks part: the first block that differs; empty without taps."""
        if not self.taps:
            return ""
        for name, value in self.taps.items():
            if value < LEAST_DB:
                return f"the first block that differs is {name}, {value:.1f} dB"
        return f"all blocks agree, to {min(self.taps.values()):.1f} dB and more: what differs comes behind them"

    def to_json(self) -> dict[str, Any]:
        """For a provenance."""
        decibels = {task: round(value, 1) for task, value in self.decibels.items()}
        who = {"expect_sha256": self.sha256} if self.sha256 else {"source": self.label}
        return {**who, "images": self.images, "decibels": decibels}


def _arrays(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise CheckpointError(f"--expect {path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # zip, zlib, header and pickle errors of many types
        raise CheckpointError(
            f"--expect {path}: cannot be read ({error}); write it with numpy.savez, arrays of numbers only"
        ) from error


def _pixels(label: str, image: Array, config: Model, rule: PixelRule) -> NDArray[np.uint8]:
    """Pixel codes [images, height, width, channels]; normalised pixels are turned back."""
    floats = image.dtype.kind == "f"
    if not floats and image.dtype != np.uint8:
        raise CheckpointError(f"{label}: image holds {image.dtype}, expected uint8 pixels or normalised floats")
    wide = image if image.ndim == 4 else image[None]
    size = config.image_height, config.image_width
    wanted = (config.channels, *size) if floats else (*size, config.channels)
    if image.ndim not in (3, 4) or wide.shape[1:] != wanted or not 1 <= len(wide) <= MOST_IMAGES:
        axes = "channels, height, width" if floats else "height, width, channels"
        raise CheckpointError(
            f"{label}: image is {image.dtype} of shape {list(image.shape)}, expected {list(wanted)} ({axes}), or 1 to"
            f" {MOST_IMAGES} of them"
        )
    codes = _codes(label, wide.astype(np.float64).transpose(0, 2, 3, 1), rule) if floats else wide
    if any(np.ptp(one) == 0 for one in codes):
        raise CheckpointError(f"{label}: image: all pixels of one are equal, which shows nothing; give photographs")
    return codes


def _codes(label: str, values: FloatArray, rule: PixelRule) -> NDArray[np.uint8]:
    """Pixels [images, height, width, channels] that normalisation has made floats of."""
    found = (values * np.array(rule.std) + np.array(rule.mean)) * rule.full
    bad = ~(np.abs(found - np.rint(found)) <= _CODE_ERROR) | (found < -_CODE_ERROR) | (found > 255 + _CODE_ERROR)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        image, y, x, channel = where
        raise CheckpointError(
            f"{label}: image: {values[where]:.6g} (image {image}, channel {channel}, row {y}, column {x}) would be"
            f" pixel {found[where]:.2f}, no whole number of 0..255, when pixels are normalised as {rule}; give --mean"
            " and --std as the framework has them, or the pixels themselves as uint8"
        )
    return np.rint(found).astype(np.uint8)


def _output(label: str, name: str, found: Array, images: int, config: Model, task: TaskConfig) -> FloatArray:
    """Outputs [images, rows, values] of a task, all finite and not all equal."""
    return _floats(label, name, found, (images, config.result_rows(task), task.outputs))


def _floats(label: str, name: str, found: Array, full: tuple[int, int, int]) -> FloatArray:
    """Values [images, rows, values], all finite and not all equal."""
    images, rows, values_wide = full
    shapes: list[tuple[int, ...]] = [full]
    shapes += [(images, values_wide)] if rows == 1 else []
    shapes += [shape[1:] for shape in shapes] if images == 1 else []
    if found.dtype.kind != "f" or found.shape not in shapes:
        raise CheckpointError(
            f"{label}: {name} is {found.dtype} of shape {list(found.shape)}, expected floats of"
            f" {' or '.join(str(list(shape)) for shape in dict.fromkeys(shapes))} (images, rows, values)"
        )
    values = found.astype(np.float64).reshape(full)
    if not np.isfinite(values).all():
        raise CheckpointError(f"{label}: {name} holds NaN or infinite values; run the framework in float32")
    if any(one.size > 1 and np.ptp(one) == 0 for one in values):
        raise CheckpointError(f"{label}: {name}: all values of an image are equal, which shows nothing")
    return values


def block_tensors(config: Model) -> dict[str, str]:
    """Name of a tap -> the tensor of the float network that it is: the residual stream as a block leaves it."""
    found: dict[str, str] = {}
    for layer in config.network.walk(config.tasks[0].name):
        block = re.match(r"(blocks\.\d+)\.", layer.writes)
        if block is not None and layer.updates() is not None:
            found[block[1]] = layer.writes
    return found


def _taps(label: str, arrays: Mapping[str, Array], images: int, config: Model) -> dict[str, FloatArray]:
    """The taps of a file, in the order of the network."""
    tensors, found = config.network.tensors(config.tasks[0].name), dict[str, FloatArray]()
    for name, tensor in block_tensors(config).items():
        if name in arrays:
            rows, columns = tensors[tensor].shape
            found[name] = _floats(label, name, arrays[name], (images, rows, columns))
    return found


def read_expected(path: Path, config: Model, rule: PixelRule) -> Expected:
    """The file of ``--expect`` for a network that normalises pixels by ``rule``; CheckpointError says what is wrong."""
    arrays, label = _arrays(path), f"--expect {path}"
    single = len(config.tasks) == 1 and config.tasks[0].name not in arrays
    names = {task.name: _OUTPUT if single else task.name for task in config.tasks}
    missing = [name for name in (_IMAGE, *names.values()) if name not in arrays]
    known = (_IMAGE, *names.values(), *block_tensors(config))
    strange = [name for name in arrays if name not in known]
    if missing or strange:
        what = f"{listed(missing)} is missing" if missing else f"{listed(strange)}: nothing reads that"
        either = f" or just {_OUTPUT}" if len(config.tasks) == 1 else ""
        raise CheckpointError(
            f"{label}: {what}; it holds {_IMAGE} and the outputs of every task by its name,"
            f" {', '.join(task.name for task in config.tasks)}{either}, and blocks.0 ... where they part"
        )
    images = _pixels(label, arrays[_IMAGE], config, rule)
    outputs = {
        task.name: _output(label, names[task.name], arrays[names[task.name]], len(images), config, task)
        for task in config.tasks
    }
    return Expected(
        label=str(path),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        images=images,
        outputs=outputs,
        taps=_taps(label, arrays, len(images), config),
    )


def decibels(expected: FloatArray, found: FloatArray) -> float:
    """Power of the expected values about their mean, over the power of the difference; a single value has no mean."""
    noise = float(np.square(found - expected).mean())
    signal = float(expected.var() if expected.size > 1 else np.square(expected).mean())
    if not noise or not signal:
        return -MOST_DB if noise else MOST_DB
    return min(MOST_DB, 10 * float(np.log10(signal / noise)))


def compared(imported: Imported, expected: Expected) -> Agreement:
    """Our float network on the images of another framework: decibels of the worst image."""
    model, tensors = FloatModel(imported.arrays, imported.config), block_tensors(imported.config)
    found: dict[str, float] = {}
    taps: dict[str, float] = {}
    for number, image in enumerate(expected.images):
        for index, (task, outputs) in enumerate(expected.outputs.items()):
            ours = model.run(image, task)
            _lower(found, task, decibels(outputs[number], ours[f"heads.{task}"]))
            for name, values in expected.taps.items() if index == 0 else ():
                _lower(taps, name, decibels(values[number], ours[tensors[name]]))
    return Agreement(
        label=expected.label, sha256=expected.sha256, images=len(expected.images), decibels=found, taps=taps
    )


def _lower(figures: dict[str, float], name: str, value: float) -> None:
    """Keep the lower figure; NaN is none."""
    figures[name] = min(figures.get(name, MOST_DB), value if value == value else -MOST_DB)


def agreement(imported: Imported, path: Path) -> Agreement:
    """Our float network on the images of another framework; CheckpointError below `LEAST_DB`, with the figures."""
    result = compared(imported, read_expected(path, imported.config, imported.pixels))
    refuse_disagreement(result, imported, "--expect", LEAST_DB)
    return result


def refuse_disagreement(result: Agreement, imported: Imported, who: str, least: float) -> None:
    """CheckpointError below ``least`` dB, with the figures and the function that the machine computes."""
    if min(result.decibels.values()) >= least:
        return
    parting = f"\n{result.parting}" if result.parting else ""
    raise CheckpointError(
        f"{who}: {result}, at least {least:g} are needed: the checkpoint is of another function than the one"
        " that the machine computes:\n"
        + "\n".join(f"  {part}: {text}" for part, text in imported.function.items())
        + parting
        + "\nif one of these is not what your framework does, the machine cannot run the network; else look at"
        " --heads, --mean, --std and the order of --tasks, and that the outputs are logits of a float32 run in"
        " evaluation mode"
    )
