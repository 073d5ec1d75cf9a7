"""The verb ``hwgen quantize``: new activation scales for a network, and what each tensor loses by them."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from golden.reference.m3vit_float import Arrays, FloatModel
from hwgen.cli.options import (
    CalibrationImages,
    CorrectionOption,
    DeadChannels,
    JsonFile,
    Network,
    OverridesOption,
    PackageFolder,
    PercentileOption,
    RuleOption,
    WeightBits,
)
from hwgen.cli.ranges import ranges_of, rule_of
from hwgen.cli.report_file import write_json
from hwgen.frontend.black_pixels import black_warnings
from hwgen.frontend.importers.convert import Converted, convert, folder_images, images_of, origin, places, write
from hwgen.frontend.importers.imported import Imported
from hwgen.frontend.narrow import NarrowLoss, narrow_losses, narrow_text
from hwgen.frontend.range_excess import excess_warnings
from hwgen.frontend.rule_choice import HELD_OUT
from hwgen.frontend.sensitivity import sensitivity, sensitivity_text
from hwgen.frontend.store import load_float, load_model, package_files
from hwgen.request import InputError, images_for, model_name, narrowed, not_both, writable_folder
from hwgen.spec.graph_model import Model

GENERATED = "generated"
QUANTISED = Path("build") / "quantised"
SHOWN = 20  # lines of the table on the terminal


def _check_images(calib: Path | None, config: Model, used: int) -> tuple[list[NDArray[np.uint8]], str]:
    """One image that set no scale, and where it is from: the folder's next picture, or a held-out generated scene."""
    pictures = folder_images(calib, config, used + 1)[used:] if calib is not None else []
    if pictures:
        return pictures, "the folder's next picture"
    return images_for(config, None, 1, 0), "a generated scene that set no scale"


def _refuse_dead_channels(name: str, arrays: Arrays) -> None:
    """Refuse weights with output channels that are the same for every input."""
    for tensor, values in arrays.items():
        if not tensor.endswith(".weight") or values.ndim < 2:
            continue
        dead = np.ptp(values, axis=-1) == 0
        if dead.any():
            where = [int(index) for index in np.argwhere(dead)[0]]
            raise InputError(
                f"{name}: {tensor}: the weights of {dead.sum()} of {dead.size} channels are the same for every input"
                f" (zero variance), the first is {where}; if that is how the network was trained, give"
                " --allow-dead-channels"
            )


def _left_ranges(converted: Converted, check: NDArray[np.uint8], what: str) -> list[str]:
    """Warnings about tensors whose calibrated range the checked picture leaves."""
    config = converted.package.config
    model = FloatModel(converted.arrays, config, details=True)
    runs = ((f"{what}, task {task.name},", model.run(check, task.name)) for task in config.tasks)
    return excess_warnings(runs, converted.package.scales, converted.package.zeros, config.network)


def quantize_command(
    name: Network,
    calib: Annotated[
        str, typer.Option("--calib", metavar="FOLDER|generated", help="Pictures that set the scales.")
    ] = GENERATED,
    calib_images: CalibrationImages = 8,
    calibration_rule: RuleOption = HELD_OUT,
    percentile: PercentileOption = None,
    bias_correction: CorrectionOption = False,
    overrides: OverridesOption = None,
    allow_dead_channels: DeadChannels = False,
    output: PackageFolder = QUANTISED,
    weights: WeightBits = None,
    json_file: JsonFile = None,
) -> None:
    """Quantise a network with scales from pictures; print the tensors that lose most."""
    writable_folder(output, "--output")
    rule = rule_of(calibration_rule, percentile)
    folder = None if calib == GENERATED else Path(calib)
    try:
        config, arrays = load_model(name).config, load_float(name)
    except ValueError as error:
        raise InputError(str(error)) from error
    model_name(config.name, f"{name}: the network's name")
    not_both(json_file, (*package_files(name), *places(output, config.name)))
    config = narrowed(config, weights)
    if not allow_dead_channels:
        _refuse_dead_channels(name, arrays)
    ranges = ranges_of(rule, bias_correction, overrides, config)
    images, source = images_of(folder, config, calib_images)
    checks, checked_on = _check_images(folder, config, len(images))
    source |= origin(load_model(name).provenance)
    imported = Imported(config=config, arrays=arrays, notes=())
    converted = convert(imported, images, {"weights": name, **source}, ranges, choose=calibration_rule == HELD_OUT)
    lines = sensitivity(converted.package, converted.arrays, checks)
    losses: list[NarrowLoss] = []
    if config.int4:
        imported = Imported(config=replace(config, int4=()), arrays=arrays, notes=())
        wide = convert(imported, images, {"weights": name, **source}, converted.ranges)
        losses = narrow_losses(config, lines, sensitivity(wide.package, wide.arrays, checks))
    package, beside = write(converted, output)
    typer.echo(sensitivity_text(lines, SHOWN), nl=False)
    typer.echo(f"the {min(SHOWN, len(lines))} most damaged of {len(lines)} tensors, on {checked_on}")
    typer.echo(narrow_text(losses), nl=False)
    for note in converted.notes:
        typer.echo(f"note: {note}")
    warnings = black_warnings(images, "calibration pictures") + black_warnings(checks, "checked pictures")
    warnings += _left_ranges(converted, checks[0], checked_on)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"calibrated on {len(images)} {source['calibration']}")
    typer.echo(f"written {package} ({package.stat().st_size} bytes) and {beside}")
    if json_file is not None:
        result: dict[str, Any] = {
            "model": config.name,
            "package": str(package),
            "provenance": dict(converted.package.provenance),
            "checked_on": checked_on,
            "tensors": [line.as_dict() for line in lines],
            "four_bit_weights": [line.as_dict() for line in losses],
            "warnings": warnings,
        }
        write_json(json_file, result)
