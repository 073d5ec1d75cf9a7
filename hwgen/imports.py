"""The last steps of every import: calibrate, quantise, write the two files, and say what was found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.frontend.importers.convert import Converted, convert, images_of, places, write
from hwgen.frontend.importers.expect import AGREEMENT, Agreement
from hwgen.frontend.importers.function import assumed
from hwgen.frontend.importers.imported import Imported
from hwgen.frontend.ranges import Ranges
from hwgen.request import InputError, model_name, writable_folder
from hwgen.spec.presets import MODELS

UNCHECKED = "not checked against your framework; --expect FILE.npz compares its outputs"


@dataclass(frozen=True, kw_only=True)
class Calib:
    """What sets the scales of activations."""

    folder: Path | None = None  # of pictures; generated scenes otherwise
    images: int = 8
    ranges: Ranges | None = None
    choose: bool = True  # the rule that does best on pictures that are held out


@dataclass(frozen=True, kw_only=True)
class Written:
    """Where a network lies, and what the user should know."""

    package: Path
    beside: Path  # its float weights
    converted: Converted
    lines: tuple[str, ...]  # for the user


def check_place(name: str, output: Path, source: Path | None, where: str = "--name") -> None:
    """InputError for names that cannot be those of an imported network, or under which it would replace its source."""
    model_name(name, where)
    if name.endswith(".float"):
        raise InputError(
            f"{where} {name}: names that end in .float are of float weights beside a package; give another"
        )
    if name in MODELS:
        raise InputError(f"{where} {name}: is the name of a preset; give another")
    writable_folder(output, "--output")
    for place in places(output, name):
        if source is not None and place.exists() and source.exists() and place.samefile(source):
            raise InputError(f"{where} {name}: {place} is the checkpoint itself; give another name or --output")


def _agreement_lines(imported: Imported, agreed: Agreement | None) -> list[str]:
    if agreed is not None:
        doubt = [f"note: {agreed.doubt}"] if agreed.doubt else []
        return [f"agrees with your framework: {agreed}", *doubt]
    guesses = assumed(imported.function)
    parts = [f"note: {len(guesses)} parts of the function are assumed: {', '.join(guesses)}"] if guesses else []
    return [*parts, f"note: {UNCHECKED}"]


def finish(imported: Imported, source: dict[str, Any], output: Path, calib: Calib, agreed: Agreement | None) -> Written:
    """Quantise a float network and write it; ``source`` says in its provenance where it comes from."""
    images, calibration = images_of(calib.folder, imported.config, calib.images)
    provenance = {**source, **calibration}
    if agreed is not None:
        provenance[AGREEMENT] = agreed.to_json()
    converted = convert(imported, images, provenance, calib.ranges, choose=calib.choose)
    package, beside = write(converted, output)
    notes = (*(f"{part}: {text}" for part, text in imported.function.items()), *imported.notes, *converted.notes)
    lines = (
        *(f"note: {note}" for note in notes),
        *_agreement_lines(imported, agreed),
        f"calibrated on {len(images)} {calibration['calibration']}",
        f"written {package} ({package.stat().st_size} bytes) and {beside}",
    )
    return Written(package=package, beside=beside, converted=converted, lines=lines)
