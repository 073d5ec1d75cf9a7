"""The quantised model: a package of integer arrays and a manifest that loads without torch."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from hwgen.spec.arrays import Array, package_arrays, range_fault, shape_fault
from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.spec.output_file import placed

PACKAGE_VERSION = 1
MANIFEST = ("version", "config", "scales", "provenance", "sha256")  # entries of a package's metadata


class PackageError(ValueError):
    """A package that cannot be used; the message names the file or the tensor, and the limit."""


def write_arrays(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file; PackageError when the place takes none (no permission, no room)."""
    try:
        with placed(path) as part:
            save_file(dict(arrays), part, metadata=dict(metadata))
    except SafetensorError as error:
        raise PackageError(f"{path}: cannot be written ({error}); give another place") from error


def _sha256(config: ModelConfig, arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name in sorted(package_arrays(config)):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class QuantisedModel:
    """Integer arrays of one network, the real value of one code of each named tensor, and where it comes from.

    ``scales`` holds floats for reports only (``residual``, ``blocks.0.norm1``, ``heads.seg`` ...): real = code * scale.
    """

    config: ModelConfig
    arrays: Mapping[str, Array]
    scales: Mapping[str, float]
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """Refuse arrays that are missing, misshapen, of another type, or hold a value outside its range."""
        fault = shape_fault(self.config, self.arrays) or range_fault(self.config, self.arrays)
        if fault is not None:
            raise PackageError(f"{self.config.name}: {fault}")

    def sha256(self) -> str:
        """Digest of every array, name by name."""
        return _sha256(self.config, self.arrays)

    def save(self, path: Path) -> None:
        """Write the package as one safetensors file; the manifest is its metadata."""
        manifest = {
            "version": PACKAGE_VERSION,
            "config": asdict(self.config),
            "scales": dict(self.scales),
            "provenance": dict(self.provenance),
            "sha256": self.sha256(),
        }
        arrays = {name: np.ascontiguousarray(self.arrays[name]) for name in package_arrays(self.config)}
        write_arrays(path, arrays, {"hwgen": json.dumps(manifest, sort_keys=True)})


def config_from(data: dict[str, Any]) -> ModelConfig:
    """Shape of a network from its fields as JSON holds them; ValueError, KeyError or TypeError when there is none."""
    if not isinstance(cast("object", data), dict):
        raise TypeError(f"{type(data).__name__} instead of an object")
    if not data["tasks"]:
        raise ValueError("tasks is empty; a network has one or more")
    tasks = tuple(TaskConfig(**task) for task in data["tasks"])
    lists = {"moe_blocks": tuple(data["moe_blocks"]), "tasks": tasks, "int4": tuple(data.get("int4", ()))}
    fields: dict[str, Any] = {**data, **lists}
    return ModelConfig(**fields)


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
    try:
        config = config_from(manifest["config"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PackageError(f"{path}: the manifest's config is damaged ({error})") from error
    fault = shape_fault(config, arrays)
    if fault is not None:
        raise PackageError(f"{path}: {fault}")
    if _sha256(config, arrays) != manifest["sha256"]:
        raise PackageError(f"{path}: contents do not match the manifest's sha256; the file is damaged")
    try:
        return QuantisedModel(
            config=config, arrays=arrays, scales=manifest["scales"], provenance=manifest["provenance"]
        )
    except PackageError as error:
        raise PackageError(f"{path}: {error}") from error


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
    missing = [name for name in MANIFEST if name not in manifest]
    if missing:
        raise PackageError(f"{path}: the manifest lacks {', '.join(missing)}; make the package again")
    if manifest["version"] != PACKAGE_VERSION:
        raise PackageError(f"{path}: package version {manifest['version']}, this tool reads {PACKAGE_VERSION}")
    if not isinstance(manifest["provenance"], dict):
        raise PackageError(f"{path}: the manifest's provenance is damaged; make the package again")
    scales = manifest["scales"]
    if not isinstance(scales, dict) or not all(map(_is_scale, cast("dict[str, Any]", scales).values())):
        raise PackageError(f"{path}: the manifest's scales are damaged; make the package again")
    return manifest
