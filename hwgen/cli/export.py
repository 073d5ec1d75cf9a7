"""The verb ``hwgen export``: the weights of a package as float weights that torch, timm and M3ViT load."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from hwgen.cli.options import JsonFile, Network
from hwgen.cli.report_file import write_json
from hwgen.frontend.exporters.export import SUFFIXES, Exported, export, import_words
from hwgen.frontend.exporters.states import FORMATS
from hwgen.frontend.importers.imported import Imported
from hwgen.frontend.store import load_model, package_files
from hwgen.report.agreement import agreement
from hwgen.request import InputError, images_for, not_both, writable_file
from hwgen.spec.model import TaskConfig
from hwgen.spec.package import QuantisedModel

Checks = list[dict[str, Any]]


def _choices(outputs: NDArray[Any], task: TaskConfig) -> NDArray[np.int64]:
    """The class that wins in every sub-cell, or for the image."""
    return outputs.reshape(-1, task.classes).argmax(axis=-1)


def compared(package: QuantisedModel, imported: Imported, images: list[NDArray[np.uint8]]) -> Checks:
    """Golden against the float model of exported weights: what is left is activations and function tables."""
    model = FloatModel(imported.arrays, imported.config)
    found: Checks = []
    for task, other in zip(package.config.tasks, imported.config.tasks, strict=True):
        head = f"heads.{task.name}"
        codes = np.stack([run_network(package, image, task.name)[head] for image in images])
        real = np.stack([model.run(image, other.name)[f"heads.{other.name}"] for image in images])
        line: dict[str, Any] = {"task": task.name, "sqnr_db": agreement(codes, package.scales[head], real).sqnr_db}
        if task.kind != "depth":
            line["same_class"] = float((_choices(codes, task) == _choices(real, task)).mean())
        found.append(line)
    return found


def _line(check: dict[str, Any]) -> str:
    same = f", same class for {check['same_class']:.1%}" if "same_class" in check else ""
    return f"task {check['task']}: golden against these weights {check['sqnr_db']:.1f} dB{same}"


def _checked(name: str, output: Path, form: str | None) -> None:
    """Refuse what cannot be written, before the work begins."""
    if form is not None and form not in FORMATS:
        raise InputError(f"--format {form}: there are {', '.join(FORMATS)}")
    if output.suffix not in SUFFIXES:
        raise InputError(f"--output {output}: give a name that ends in {', '.join(SUFFIXES)}")
    writable_file(output, "--output")
    for place, what in zip(package_files(name), ("the package itself", "the package's float weights"), strict=False):
        if output.exists() and place.exists() and output.samefile(place):
            raise InputError(f"--output {output}: is {what}; give another name")


def _report(package: QuantisedModel, found: Exported, checks: Checks) -> dict[str, Any]:
    return {
        "model": package.config.name,
        "package_sha256": package.sha256(),
        "file": str(found.path),
        "format": found.form,
        "arrays": found.arrays,
        "import": import_words(found),
        "checks": checks,
        "provenance": dict(package.provenance),
    }


def export_command(
    name: Network,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.safetensors|.pth", help="Where the weights go.")
    ],
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="|".join(FORMATS), help="Key names; the first of these that fits if not."),
    ] = None,
    check_images: Annotated[
        int, typer.Option("--check-images", min=1, max=1000, help="Generated scenes that golden is compared on.")
    ] = 2,
    json_file: JsonFile = None,
) -> None:
    """Export a package's weights, dequantised, as a state_dict; compare golden with them."""
    _checked(name, output, form)
    not_both(json_file, (output, *package_files(name)))
    try:
        package = load_model(name)
    except ValueError as error:
        raise InputError(str(error)) from error
    images = images_for(package.config, None, check_images, 0)
    checks: Checks = []
    found = export(package, output, form, lambda imported: checks.extend(compared(package, imported, images)))
    for check in checks:
        typer.echo(_line(check))
    typer.echo(
        f"written {output} ({output.stat().st_size} bytes): {found.arrays} arrays with the names of {found.form}"
    )
    if found.readable:
        typer.echo(f"it is read again by: {import_words(found)}")
    write_json(json_file, _report(package, found, checks))
