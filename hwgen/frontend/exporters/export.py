"""Writes the float weights of a package as a state_dict, and reads them back as an import would."""

# pyright: basic
# (torch is only partly typed)

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwgen.frontend.exporters.dequantise import float_weights
from hwgen.frontend.exporters.states import FORMATS, State, format_of, pixels_of
from hwgen.frontend.importers.checkpoint import CheckpointError, read_checkpoint
from hwgen.frontend.importers.convert import IMPORTERS
from hwgen.frontend.importers.imported import Imported, ImportOptions
from hwgen.frontend.importers.own import import_own, own_metadata
from hwgen.process.install import install_hint
from hwgen.spec.package import PackageError, QuantisedModel
from hwgen.store.output_file import placed
from hwgen.store.packages import PACKAGE_VERSION, write_arrays

SUFFIXES = (".safetensors", ".pth", ".pt")
EXPORT_ENTRY = "hwgen.export"  # metadata of a safetensors file: where the weights come from
Accept = Callable[[Imported], None]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written and how an import reads it again."""

    path: Path
    form: str
    arrays: int
    options: ImportOptions  # for an import of the file
    readable: bool  # by `hwgen import`; a state_dict of `hwgen.frontend.m3vit.M3ViT` in a .pth file is not


def read_again(path: Path, form: str, options: ImportOptions) -> Imported:
    """An exported file through the importer of its key names."""
    return IMPORTERS[form](read_checkpoint(path, allow_dead=True), options)


def import_words(exported: Exported) -> str:
    """The command that imports the file again."""
    options = exported.options
    words = [f"hwgen import {exported.form} {shlex.quote(str(exported.path))} --name {options.name}-again"]
    if options.heads is not None:
        words.append(f"--heads {options.heads}")
    if options.image_size is not None:
        words.append("--image-size {}x{}".format(*options.image_size))
    for name, values in (("mean", options.mean), ("std", options.std)):
        if values is not None:
            words.append(f"--{name} {','.join(map(repr, values))}")
    if options.tasks:
        words.append(f"--tasks {','.join(options.tasks)} --top-k {options.top_k}")
    return " ".join(words + ["--features"] * options.features)


def _metadata(package: QuantisedModel, form: str, options: ImportOptions) -> dict[str, str]:
    """What a safetensors file says about itself."""
    about = {
        "format": form,
        "package_version": PACKAGE_VERSION,
        "package_sha256": package.sha256(),
        "mean": options.mean,
        "std": options.std,
        "provenance": dict(package.provenance),
    }
    found = {EXPORT_ENTRY: json.dumps(about, sort_keys=True)}
    return found | (own_metadata(package.config) if form == "hwgen" else {})


def save_state(path: Path, state: State, metadata: dict[str, str]) -> None:
    """Write float32 arrays in the format of the suffix; PackageError when torch is missing or the place takes none."""
    state = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in state.items()}
    if path.suffix == ".safetensors":
        write_arrays(path, state, metadata)
        return
    try:
        import torch  # here: only this format needs it
    except ImportError as error:
        raise CheckpointError(
            f"{path}: writing {path.suffix} needs torch: {install_hint('train')}, or give a name that ends in"
            " .safetensors"
        ) from error
    try:
        torch.save({name: torch.from_numpy(array) for name, array in state.items()}, path)
    except (RuntimeError, OSError) as error:
        raise PackageError(f"{path}: cannot be written ({error}); give another place") from error


def export(package: QuantisedModel, path: Path, form: str | None, accept: Accept) -> Exported:
    """Write a package's weights to ``path`` under the names of ``form``, or of the first format that fits.

    The file is read back by the importer of its names and handed to ``accept`` before it is put into its place: nothing
    is left when either raises. PackageError says what cannot be exported.
    """
    weights = float_weights(package)
    chosen = format_of(package.config, weights, form)
    readable = chosen != "hwgen" or path.suffix == ".safetensors"  # a bare state_dict does not say its shape
    pixels = pixels_of(package, chosen)
    options = FORMATS[chosen].options(package.config, pixels)
    state = FORMATS[chosen].state(weights, package.config, pixels)
    with placed(path) as part:
        save_state(part, state, _metadata(package, chosen, options))
        accept(read_again(part, chosen, options) if readable else _as_saved(part, package))
    return Exported(path=path, form=chosen, arrays=len(state), options=options, readable=readable)


def _as_saved(path: Path, package: QuantisedModel) -> Imported:
    """A state_dict of `hwgen.frontend.m3vit.M3ViT` whose shape is the package's."""
    checkpoint = read_checkpoint(path, allow_dead=True)
    checkpoint.metadata |= own_metadata(package.config)
    return import_own(checkpoint, ImportOptions(name=package.config.name))
