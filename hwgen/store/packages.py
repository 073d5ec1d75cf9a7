"""Packages as files: safetensors with a manifest, readable without torch."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from hwgen.spec.arrays import Array, held_arrays, shape_fault
from hwgen.spec.graph_model import Model
from hwgen.spec.package import PackageError, QuantisedModel, arrays_sha256
from hwgen.spec.shown import shown
from hwgen.store.models import is_shape, layers_data, model_from, shape_data
from hwgen.store.output_file import placed
from hwgen.store.strict_yaml import ConfigError

PACKAGE_VERSION = 2
# Entries of a package's metadata. Version 1 has no layers: they follow from the shape in config.
MANIFEST = {
    1: ("version", "config", "scales", "provenance", "sha256"),
    2: ("version", "config", "layers", "scales", "provenance", "sha256"),
}


def write_arrays(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file; PackageError when the place takes none (no permission, no room)."""
    try:
        with placed(path) as part:
            save_file(dict(arrays), part, metadata=dict(metadata))
    except SafetensorError as error:
        raise PackageError(f"{path}: cannot be written ({error}); give another place") from error


def save_package(package: QuantisedModel, path: Path) -> None:
    """Write a package as one safetensors file; the manifest is its metadata."""
    manifest = {
        "version": PACKAGE_VERSION,
        "config": shape_data(package.config),
        "layers": layers_data(package.config),
        "scales": dict(package.scales),
        "provenance": dict(package.provenance),
        "sha256": package.sha256(),
    }
    arrays = {name: np.ascontiguousarray(package.arrays[name]) for name in held_arrays(package.config, package.arrays)}
    write_arrays(path, arrays, {"hwgen": json.dumps(manifest, sort_keys=True)})


def _read(path: Path) -> tuple[str | None, dict[str, Array]]:
    """Manifest text, if any, and arrays of a safetensors file."""
    with cast("Any", safe_open)(path, framework="numpy") as handle:  # compiled, without types
        metadata = cast("dict[str, str] | None", handle.metadata())
        names = cast("list[str]", handle.keys())
        arrays = {name: cast("Array", handle.get_tensor(name)) for name in names}
    return (metadata or {}).get("hwgen"), arrays


def load_package(path: Path) -> QuantisedModel:
    """Read and check a package; PackageError says what is wrong with it."""
    if not path.is_file():
        raise PackageError(f"{path}: no such package")
    try:
        text, arrays = _read(path)
    except Exception as error:  # safetensors raises its own undocumented types
        raise PackageError(f"{path}: not a readable safetensors file ({error})") from error
    if text is None:
        raise PackageError(f"{path}: a safetensors file, but not an hwgen package (no manifest)")
    manifest = _manifest(path, text)
    config = _model(path, manifest)
    fault = shape_fault(config, arrays)
    if fault is not None:
        raise PackageError(f"{path}: {fault}")
    if arrays_sha256(config, arrays) != manifest["sha256"]:
        raise PackageError(f"{path}: contents do not match the manifest's sha256; the file is damaged")
    try:
        return QuantisedModel(
            config=config, arrays=arrays, scales=manifest["scales"], provenance=manifest["provenance"]
        )
    except PackageError as error:
        raise PackageError(f"{path}: {error}") from error


def _model(path: Path, manifest: Mapping[str, Any]) -> Model:
    """The network of a manifest: a shape whose layers are those that are listed, or the list itself."""
    data, listed = manifest["config"], manifest.get("layers")
    if isinstance(data, dict) and listed is not None and not is_shape(cast("dict[str, Any]", data)):
        data = {**cast("dict[str, Any]", data), "layers": listed}
    try:
        config = model_from(data, "config")
    except ConfigError as error:
        raise PackageError(f"{path}: the manifest's config is damaged ({error})") from error
    if (listed is not None or manifest["version"] > 1) and layers_data(config) != listed:
        raise PackageError(f"{path}: the manifest's layers are not those of its config; make the package again")
    return config


def _is_scale(value: object) -> bool:
    return isinstance(value, float | int) and 0.0 < value <= sys.float_info.max


def _manifest(path: Path, text: str) -> dict[str, Any]:
    """The manifest of a package of this version, with every entry."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{path}: the manifest is damaged ({error})") from error
    if not isinstance(found, dict):
        raise PackageError(f"{path}: the manifest is damaged (a {type(found).__name__}, not an object)")
    manifest = cast("dict[str, Any]", found)
    version = manifest.get("version", PACKAGE_VERSION)
    if type(version) is not int or version not in MANIFEST:
        raise PackageError(f"{path}: package version {shown(version)}, this tool reads {', '.join(map(str, MANIFEST))}")
    missing = [name for name in MANIFEST[version] if name not in manifest]
    if missing:
        raise PackageError(f"{path}: the manifest lacks {', '.join(missing)}; make the package again")
    if not isinstance(manifest["provenance"], dict):
        raise PackageError(f"{path}: the manifest's provenance is damaged; make the package again")
    scales = manifest["scales"]
    if not isinstance(scales, dict) or not all(map(_is_scale, cast("dict[str, Any]", scales).values())):
        raise PackageError(f"{path}: the manifest's scales are damaged; make the package again")
    return manifest
