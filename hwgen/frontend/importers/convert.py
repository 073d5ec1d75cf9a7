"""From a checkpoint to the two files of a network: equalised float arrays and the quantised package."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.reference.m3vit_float import Arrays
from golden.reference.scenes import CALIBRATION_FIRST_SEED
from hwgen.frontend.activation_input import stretch_notes
from hwgen.frontend.calibration import IMPORTED_STRENGTH, Calibration, calibrate, equalise
from hwgen.frontend.equalisation import EQUALISATION, combined, equalisation_factors
from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.edge_moe import import_edge_moe
from hwgen.frontend.importers.expect import AGREEMENT
from hwgen.frontend.importers.function import FUNCTION
from hwgen.frontend.importers.hf import HF, import_hf
from hwgen.frontend.importers.imported import Imported, ImportOptions
from hwgen.frontend.importers.m3vit import import_m3vit
from hwgen.frontend.importers.own import import_own
from hwgen.frontend.importers.timm import import_timm
from hwgen.frontend.pictures import SUFFIXES, PictureError, picture_files, read_fitted
from hwgen.frontend.quantise import quantise
from hwgen.frontend.ranges import Ranges
from hwgen.frontend.rule_choice import choose_rule
from hwgen.frontend.seeded import calibration_images
from hwgen.frontend.store import float_beside, save_float, weights_sha256
from hwgen.spec.graph_model import Model
from hwgen.spec.package import QuantisedModel
from hwgen.store.output_file import placed
from hwgen.store.packages import save_package

IMPORTERS: dict[str, Callable[[Checkpoint, ImportOptions], Imported]] = {
    "timm": import_timm,
    HF: import_hf,
    "m3vit": import_m3vit,
    "edge-moe": import_edge_moe,
    "hwgen": import_own,
}
# What a package says about its weights, whatever set the scales.
ORIGIN = (
    "import", "source", "source_sha256", "mean", "std", "pixels", "distillation_dropped", "stand_in_experts",
    "architecture", FUNCTION, AGREEMENT, EQUALISATION,
)  # fmt: skip
Images = list[NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A network ready to be written."""

    arrays: Arrays  # float, equalised
    package: QuantisedModel
    notes: tuple[str, ...]  # what calibration found, for the user
    ranges: Ranges  # what set the scales


def folder_images(folder: Path, config: Model, count: int) -> Images:
    """The first ``count`` pictures of a folder by name, cut to the network's shape around the middle and scaled."""
    if not folder.is_dir():
        raise CheckpointError(f"--calib {folder}: no such folder")
    files = picture_files(folder)[:count]
    if not files:
        raise CheckpointError(f"--calib {folder}: no picture in it ({', '.join(SUFFIXES)})")
    images: Images = []
    for path in files:
        try:
            images.append(read_fitted(path, config, "crop").pixels)
        except (PictureError, OSError) as error:
            raise CheckpointError(f"--calib {path}: not a readable picture ({error})") from error
    return images


def images_of(calib: Path | None, config: Model, count: int) -> tuple[Images, dict[str, Any]]:
    """Calibration images and what the provenance says of them: a folder's pictures, or generated scenes."""
    if calib is not None:
        images = folder_images(calib, config, count)
        digest = hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()
        return images, {"calibration": "pictures", "calibration_sha256": digest}
    source = {"calibration": "generated scenes", "calibration_first_seed": CALIBRATION_FIRST_SEED}
    return calibration_images(config, count), source


def _refuse_dead_ranges(config: Model, calibration: Calibration) -> None:
    """A tensor that is zero everywhere, or overflows, has no scale."""
    for name, sample in calibration.samples.items():
        largest = float(np.abs(sample).max(initial=0.0))
        if largest == 0.0 or not np.isfinite(sample).all():
            what = "zero" if largest == 0.0 else "NaN or infinite in places"
            raise CheckpointError(
                f"{config.name}: {name} is {what} on all {calibration.images} calibration images: a dead activation"
                " range has no scale; look at the weights before it, or calibrate with other images (--calib)"
            )
    for name, value in {"residual": calibration.residual_max, **calibration.head_max}.items():
        if not np.isfinite(value) or value == 0.0:
            raise CheckpointError(f"{config.name}: {name} reaches {value} on the calibration images: it has no scale")


def origin(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What stays true of the weights of a package when it gets new scales."""
    return {name: provenance[name] for name in ORIGIN if name in provenance}


def convert(
    imported: Imported,
    images: Sequence[NDArray[np.uint8]],
    provenance: dict[str, Any],
    ranges: Ranges | None = None,
    *,
    choose: bool = False,
) -> Converted:
    """Calibrate, equalise and quantise; CheckpointError names a tensor without a usable range.

    ``ranges`` default to the mse rule for every tensor. ``choose`` takes another rule if it does better on pictures
    that are held out; with a single picture there is nothing to hold out, and a note says so.
    """
    config = imported.config
    with np.errstate(over="ignore", invalid="ignore"):  # said by name below
        found = calibrate(imported.arrays, config, images)
    _refuse_dead_ranges(config, found)
    notes = stretch_notes(config.network, found.samples)
    ranges, chosen = _ranges(imported, images, found, ranges or Ranges(), choose=choose)
    notes += chosen
    arrays, calibration = equalise(imported.arrays, config, found, IMPORTED_STRENGTH)
    factors = equalisation_factors(imported.arrays, arrays, config)
    source = {
        **provenance,
        **imported.facts,
        **({FUNCTION: dict(imported.function)} if imported.function else {}),
        "notes": [*imported.notes, *notes],
        "weights_sha256": weights_sha256(arrays),
        EQUALISATION: combined(provenance.get(EQUALISATION, {}), factors),
    }
    try:
        package = quantise(arrays, config, calibration, ranges=ranges, provenance=source)
    except ValueError as error:
        raise CheckpointError(f"{config.name}: cannot be quantised: {error}") from error
    return Converted(arrays=arrays, package=package, notes=tuple(notes), ranges=ranges)


def _ranges(
    imported: Imported, images: Sequence[NDArray[np.uint8]], found: Calibration, ranges: Ranges, *, choose: bool
) -> tuple[Ranges, list[str]]:
    """The rule that does best on held-out pictures in the place of that of ``ranges``, and a note where none can be."""
    if not choose:
        return ranges, []
    try:
        choice = choose_rule(imported.arrays, imported.config, images, found, ranges)
    except ValueError as error:
        raise CheckpointError(f"{imported.config.name}: cannot be quantised: {error}") from error
    if choice is None:
        return ranges, [f"a single calibration picture cannot judge the rules: {ranges.rule.rule} was taken; give two"]
    return replace(ranges, rule=choice.rule, choice=choice.as_dict()), [f"calibration {choice}"]


def places(folder: Path, name: str) -> tuple[Path, Path]:
    """Where the package and the float weights of a network go."""
    package = folder / f"{name}.safetensors"
    return package, float_beside(package)


def write(converted: Converted, folder: Path) -> tuple[Path, Path]:
    """Write ``NAME.safetensors`` and ``NAME.float.safetensors``; both, or neither of them."""
    package, beside = places(folder, converted.package.config.name)
    for place in (package, beside):
        if place.is_dir():
            raise CheckpointError(f"{place}: is a folder; give another --output")
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with placed(package) as package_part, placed(beside) as float_part:
            save_float(float_part, converted.arrays, converted.package.config, converted.package.provenance)
            save_package(converted.package, package_part)
    except BaseException:
        for place in new:
            place.rmdir()
        raise
    return package, beside
