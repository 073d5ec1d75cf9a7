"""The quantised model: a package of integer arrays and a manifest that loads without torch."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.spec.numerics import NUMERICS
from hwgen.spec.output_file import placed
from hwgen.spec.tables import TABLES

PACKAGE_VERSION = 1
MANIFEST = ("version", "config", "scales", "provenance", "sha256")  # entries of a package's metadata
Array = NDArray[Any]
ArraySpec = tuple[tuple[int, ...], str]  # shape, dtype name


class PackageError(ValueError):
    """A package that cannot be used; the message names the file or the tensor, and the limit."""


def write_arrays(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file; PackageError when the place takes none (no permission, no room)."""
    try:
        with placed(path) as part:
            save_file(dict(arrays), part, metadata=dict(metadata))
    except SafetensorError as error:
        raise PackageError(f"{path}: cannot be written ({error}); give another place") from error


def _linear(prefix: str, out: int, inputs: int, lead: tuple[int, ...] = ()) -> dict[str, ArraySpec]:
    """A linear layer: int8 weights [.., out, in] and per-channel bias, multiplier and shift."""
    return {
        f"{prefix}.weight": ((*lead, out, inputs), "int8"),
        f"{prefix}.bias": ((*lead, out), "int32"),
        f"{prefix}.mult": ((*lead, out), "uint16"),
        f"{prefix}.shift": ((*lead, out), "uint8"),
    }


def _norm(prefix: str, dim: int) -> dict[str, ArraySpec]:
    return {
        f"{prefix}.gain": ((dim,), "int16"),
        f"{prefix}.offset": ((dim,), "int32"),
        f"{prefix}.shift": ((1,), "uint8"),
    }


def _scale(prefix: str, name: str, count: int = 1) -> dict[str, ArraySpec]:
    return {f"{prefix}.{name}mult": ((count,), "uint16"), f"{prefix}.{name}shift": ((count,), "uint8")}


def _block_arrays(config: ModelConfig, block: int) -> dict[str, ArraySpec]:
    dim, at = config.dim, f"blocks.{block}"
    specs = _norm(f"{at}.norm1", dim) | _norm(f"{at}.norm2", dim)
    for name in ("query", "key", "value", "proj"):
        specs |= _linear(f"{at}.{name}", dim, dim)
    specs |= {f"{at}.scores.bias": ((config.heads,), "int32")} | _scale(f"{at}.scores", "", config.heads)
    specs |= _scale(f"{at}.context", "")
    if not config.is_moe(block):
        specs |= _linear(f"{at}.fc1", config.mlp_hidden, dim) | _scale(f"{at}.fc1", "gelu_")
        return specs | _linear(f"{at}.fc2", dim, config.mlp_hidden)
    for task in config.tasks:
        specs |= _linear(f"{at}.gate.{task.name}", config.experts, dim)
    lead = (config.experts,)
    specs |= _linear(f"{at}.experts.fc1", config.expert_hidden, dim, lead) | _scale(f"{at}.experts.fc1", "gelu_")
    return specs | _linear(f"{at}.experts.fc2", dim, config.expert_hidden, lead)


def package_arrays(config: ModelConfig) -> dict[str, ArraySpec]:
    """Name -> (shape, dtype) of every array in a package of this network."""
    specs: dict[str, ArraySpec] = {"position": ((config.tokens, config.dim), "int16")}
    specs |= _linear("patch_embed", config.dim, config.patch_values)
    for block in range(config.depth):
        specs |= _block_arrays(config, block)
    specs |= _norm("norm", config.dim)
    for task in config.tasks:
        specs |= _linear(f"heads.{task.name}", task.outputs, config.dim)
    for table in TABLES:
        specs[f"tables.{table.name}"] = ((table.words, 2), "int32")
    return specs


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
        """Check that every array is there with its shape and type."""
        for name, (shape, dtype) in package_arrays(self.config).items():
            if name not in self.arrays:
                raise PackageError(f"{self.config.name}: array {name!r} is missing")
            found = self.arrays[name]
            if found.shape != shape or found.dtype.name != dtype:
                raise PackageError(
                    f"{self.config.name}: {name} is {found.dtype.name}{list(found.shape)},"
                    f" expected {dtype}{list(shape)}"
                )
        for name in self.config.int4:
            largest = int(np.abs(self.arrays[f"{name}.weight"].astype(np.int16)).max(initial=0))
            if largest > NUMERICS.narrow_weight_max:
                raise PackageError(
                    f"{self.config.name}: {name}.weight has a code of magnitude {largest}, four-bit weights reach"
                    f" {NUMERICS.narrow_weight_max}; quantise the network again"
                )

    def sha256(self) -> str:
        """Digest of every array, name by name."""
        digest = hashlib.sha256()
        for name in sorted(package_arrays(self.config)):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(self.arrays[name]).tobytes())
        return digest.hexdigest()

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
    model = QuantisedModel(config=config, arrays=arrays, scales=manifest["scales"], provenance=manifest["provenance"])
    if model.sha256() != manifest["sha256"]:
        raise PackageError(f"{path}: contents do not match the manifest's sha256; the file is damaged")
    return model


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
