"""The verb ``hwgen import``: a trained network from another project becomes a package of this one."""

import re
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from hwgen.cli.options import (
    CalibrationImages,
    CorrectionOption,
    DeadChannels,
    JsonFile,
    OverridesOption,
    PackageFolder,
    PercentileOption,
    RuleOption,
)
from hwgen.cli.ranges import ranges_of, rule_of
from hwgen.cli.report_file import write_json
from hwgen.compiler.fit import check_fit
from hwgen.frontend.importers.checkpoint import read_checkpoint, source_sha256
from hwgen.frontend.importers.convert import IMPORTERS, places
from hwgen.frontend.importers.expect import Agreement, agreement
from hwgen.frontend.importers.hf import HF, weights_in
from hwgen.frontend.importers.imported import IMAGENET_MEAN, IMAGENET_STD, Imported, ImportOptions
from hwgen.frontend.importers.onnx import import_onnx
from hwgen.frontend.rule_choice import HELD_OUT
from hwgen.imports import Calib, check_place, finish
from hwgen.request import InputError, not_both
from hwgen.store.archs import find_arch

HERE = Path()
ONNX = "onnx"
KINDS = (*IMPORTERS, ONNX)
# Option -> the kinds that know it; all others belong to every kind.
_OWN_OPTIONS = {
    "--mean": ("timm", HF, "m3vit", ONNX),
    "--std": ("timm", HF, "m3vit", ONNX),
    "--tasks": ("m3vit", "edge-moe"),
    "--top-k": ("m3vit", "edge-moe"),
    "--drop-distillation": ("timm",),
    "--features": ("m3vit",),
    "--stand-in-experts": ("edge-moe",),
    "--heads": ("timm", HF, "m3vit", "edge-moe", "hwgen"),
    "--allow-dead-channels": ("timm", HF, "m3vit", "edge-moe", "hwgen"),
}
_NAMED = {"--mean": {"imagenet": IMAGENET_MEAN}, "--std": {"imagenet": IMAGENET_STD}}


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Comma-separated numbers, or a name for them."""
    if text is None:
        return None
    if text in _NAMED[option]:
        return _NAMED[option][text]
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{option} {text}: give numbers separated by commas, or imagenet") from error


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None or "0" in match.groups():
        raise InputError(f"--image-size {text}: give HEIGHTxWIDTH in pixels, such as 128x256")
    return int(match[1]), int(match[2])


def _refuse_foreign(kind: str, given: dict[str, Any]) -> None:
    """Refuse options that this kind of checkpoint would ignore."""
    for option, kinds in _OWN_OPTIONS.items():
        if given[option] and kind not in kinds:
            raise InputError(f"{option} means nothing to {kind}; it belongs to {', '.join(kinds)}")


def _read(kind: str, path: Path, options: ImportOptions, *, allow_dead: bool) -> tuple[Imported, Agreement | None]:
    """The float network, and how well it agrees with its source where that can be run."""
    if kind == ONNX:
        return import_onnx(path, options)
    return IMPORTERS[kind](read_checkpoint(path, allow_dead=allow_dead), options), None


def import_command(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"Whose key names: {', '.join(KINDS)}.")],
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help=".safetensors, .pth (weights only), .npz, .onnx, or a folder: raw, or of hf."
        ),
    ],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the network and of its files.")],
    output: PackageFolder = HERE,
    calib: Annotated[
        Path | None,
        typer.Option("--calib", metavar="FOLDER", help="Pictures that set the scales; generated scenes otherwise."),
    ] = None,
    calib_images: CalibrationImages = 8,
    calibration_rule: RuleOption = HELD_OUT,
    percentile: PercentileOption = None,
    bias_correction: CorrectionOption = False,
    overrides: OverridesOption = None,
    heads: Annotated[int | None, typer.Option("--heads", metavar="N", help="Attention heads; dim / 64 if not.")] = None,
    image_size: Annotated[
        str | None,
        typer.Option(
            "--image-size",
            metavar="HxW",
            help="When it is no square, or not the trained size: position embeddings are resized.",
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option("--mean", metavar="M|R,G,B|imagenet", help="Of pixels / 255. timm, hf: 0.5, m3vit: imagenet."),
    ] = None,
    std: Annotated[
        str | None, typer.Option("--std", metavar="S|R,G,B|imagenet", help="The same for deviations.")
    ] = None,
    tasks: Annotated[
        str | None, typer.Option("--tasks", metavar="A,B", help="Names of the tasks in the order of the gates.")
    ] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", metavar="K", help="Experts per token.")] = None,
    drop_distillation: Annotated[
        bool, typer.Option("--drop-distillation", help="timm: leave out the distillation token and its head.")
    ] = False,
    features: Annotated[
        bool, typer.Option("--features", help="m3vit: leave the decoders to the host; outputs are features.")
    ] = False,
    stand_in_experts: Annotated[
        bool, typer.Option("--stand-in-experts", help="edge-moe: halves of dense MLPs for missing expert matrices.")
    ] = False,
    allow_dead_channels: DeadChannels = False,
    expect: Annotated[
        Path | None,
        typer.Option(
            "--expect", metavar="FILE.npz", help="Image and outputs of your framework; refuse below 40 dB of agreement."
        ),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option("--arch", metavar="PRESET|FILE.yaml", help="Refuse layers that this machine cannot run."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Import a trained network: NAME.safetensors, quantised, and NAME.float.safetensors to compare it with."""
    if kind not in KINDS:
        raise InputError(f"unknown kind {kind!r}; there are {', '.join(KINDS)}")
    path = weights_in(path) if kind == HF else path
    check_place(name, output, path)
    not_both(json_file, (path, *places(output, name), *([expect] if expect else [])))
    flags = (mean, std, tasks, top_k, drop_distillation, features, stand_in_experts, heads, allow_dead_channels)
    _refuse_foreign(kind, dict(zip(_OWN_OPTIONS, flags, strict=True)))
    options = ImportOptions(
        name=name,
        heads=heads,
        image_size=_size(image_size),
        mean=_numbers("--mean", mean),
        std=_numbers("--std", std),
        tasks=tuple(tasks.split(",")) if tasks else (),
        top_k=top_k,
        drop_distillation=drop_distillation,
        features=features,
        stand_in_experts=stand_in_experts,
    )
    rule = rule_of(calibration_rule, percentile)
    machine = find_arch(arch) if arch else None
    imported, agreed = _read(kind, path, options, allow_dead=allow_dead_channels)
    if machine is not None:
        check_fit(name, imported.config.network, machine)
    agreed = agreement(imported, expect) if expect else agreed
    calibrating = Calib(
        folder=calib,
        images=calib_images,
        ranges=ranges_of(rule, bias_correction, overrides, imported.config),
        choose=calibration_rule == HELD_OUT,
    )
    source = {"import": kind, "source": path.name, "source_sha256": source_sha256(path)}
    done = finish(imported, source, output, calibrating, agreed)
    if json_file is not None:
        provenance = dict(done.converted.package.provenance)
        write_json(json_file, {"package": str(done.package), "float": str(done.beside), "provenance": provenance})
    for line in done.lines:
        typer.echo(line)
    package = done.package
    typer.echo(f"next: hwgen build --board zcu102 --model {shlex.quote(str(package))}")
