"""Where models come from: one call by name, with trained weights where they are shipped and seeded ones elsewhere.

Float models are safetensors files; their metadata entry ``hwgen.float`` says how they were trained and their quality.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import safe_open

from golden.reference.m3vit_float import Arrays, check_float_arrays
from hwgen.frontend.calibration import calibrate
from hwgen.frontend.quantise import quantise
from hwgen.frontend.scaling import FloatArray
from hwgen.frontend.seeded import calibration_images, seeded_calibrated, seeded_package
from hwgen.spec.graph_model import Model
from hwgen.spec.package import PackageError, QuantisedModel
from hwgen.spec.presets import model_config
from hwgen.store.cache import kept
from hwgen.store.digest import digest, file_digest, part_digest
from hwgen.store.models import find_model, model_data
from hwgen.store.packages import load_package, save_package, write_arrays

SHIPPED = ("m3vit-micro",)  # presets with trained weights in hwgen/data
CALIBRATION_IMAGES = 32  # generated scenes that set the scales of a shipped package
SUFFIX = ".safetensors"  # a model of this ending is a file, any other a preset
_METADATA = "hwgen.float"


def data_path(file_name: str) -> Path:
    """Path of a file in the shipped data folder."""
    return Path(str(files("hwgen.data").joinpath(file_name)))


def float_path(name: str) -> Path:
    """The shipped float weights of a preset."""
    return data_path(f"{name}.float.safetensors")


def package_path(name: str) -> Path:
    """The shipped quantised package of a preset."""
    return data_path(f"{name}.safetensors")


def float_beside(package: Path) -> Path:
    """Where the float weights of an imported package lie: ``NAME.float.safetensors`` beside ``NAME.safetensors``."""
    return package.with_name(f"{package.name.removesuffix(SUFFIX)}.float{SUFFIX}")


def package_files(name: str) -> tuple[Path, ...]:
    """The files that a network is read from when it is a package; none of a preset."""
    return (Path(name), float_beside(Path(name))) if name.endswith(SUFFIX) else ()


def weights_sha256(arrays: Arrays) -> str:
    """Digest of float arrays, name by name."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        sha.update(name.encode())
        sha.update(np.ascontiguousarray(arrays[name], dtype=np.float32).tobytes())
    return sha.hexdigest()


def save_float(path: Path, arrays: Arrays, config: Model, info: Mapping[str, Any]) -> None:
    """Write a float model as float32 with what is known about it; ValueError if the arrays do not fit the config."""
    check_float_arrays(arrays, config)
    contents = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
    write_arrays(path, contents, {_METADATA: json.dumps(dict(info), sort_keys=True)})


def read_float(path: Path, config: Model) -> tuple[dict[str, FloatArray], dict[str, Any]]:
    """Arrays and metadata of a float model; PackageError names the file and what is wrong."""
    if not path.is_file():
        raise PackageError(f"{path}: no such float model")
    try:
        with cast("Any", safe_open(path, framework="numpy")) as handle:
            metadata: dict[str, str] = handle.metadata() or {}
            names: list[str] = list(handle.keys())
            arrays: dict[str, FloatArray] = {name: handle.get_tensor(name).astype(np.float32) for name in names}
    except Exception as error:  # safetensors raises its own undocumented types
        raise PackageError(f"{path}: not a readable safetensors file ({error})") from error
    try:
        check_float_arrays(arrays, config)
    except ValueError as error:
        raise PackageError(f"{path}: {error}") from error
    try:
        info: object = json.loads(metadata.get(_METADATA, "{}"))
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{path}: metadata entry {_METADATA} is damaged ({error})") from error
    if not isinstance(info, dict):
        raise PackageError(f"{path}: metadata entry {_METADATA} is damaged (a {type(info).__name__}, not an object)")
    return arrays, cast("dict[str, Any]", info)


def float_info(name: str) -> dict[str, Any]:
    """How a shipped model was trained and its held-out quality (``miou``, ``depth_rmse`` ...)."""
    return read_float(float_path(name), model_config(name))[1]


def _float_of_package(package: Path) -> dict[str, FloatArray]:
    """Float arrays beside an imported package; PackageError if they are missing or belong to another one."""
    model, path = load_package(package), float_beside(package)
    arrays = read_float(path, model.config)[0]
    if weights_sha256(arrays) != model.provenance.get("weights_sha256"):
        raise PackageError(f"{path}: not the weights that {package} was quantised from; import the network again")
    return arrays


def load_float(name: str, *, seed: int = 0) -> dict[str, FloatArray]:
    """Float arrays of a preset, of a network in a YAML file, or of an imported package (a path in .safetensors).

    They are equalised, so that real = code * scale holds for each tensor of `load_model`.
    """
    if name.endswith(SUFFIX):
        return _float_of_package(Path(name))
    config = find_model(name)
    if name in SHIPPED:
        return read_float(float_path(name), config)[0]
    return _kept_seeded(config, seed)


def load_model(name: str, *, seed: int = 0, int4: tuple[str, ...] = ()) -> QuantisedModel:
    """The quantised model of a package file (a path that ends in .safetensors), of a preset, or of a YAML file.

    A preset has its shipped package, or one with random weights of this seed (some seconds); so has a network that a
    YAML file describes. ``int4``: layers whose weights get four bits instead of eight; the package of a shipped preset
    is then quantised anew. A package brings its own.
    """
    if name.endswith(SUFFIX):
        return load_package(Path(name))
    config = replace(find_model(name), int4=int4)
    return _shipped_model(config) if name in SHIPPED else _seeded_model(config, seed)


@cache
def _seeded_model(config: Model, seed: int) -> QuantisedModel:
    return _kept_package(config, seed, lambda: seeded_package(config, seed))


@cache
def _shipped_model(config: Model) -> QuantisedModel:
    path = float_path(config.name)
    if not config.int4:
        return load_package(package_path(config.name))

    def narrow() -> QuantisedModel:
        arrays = load_float(config.name)
        observed = calibrate(arrays, config, calibration_images(config, CALIBRATION_IMAGES))
        return quantise(arrays, config, observed, provenance={"weights": path.name})

    return _kept_package(config, file_digest(path), narrow)


def _kept_package(config: Model, weights: object, make: Callable[[], QuantisedModel]) -> QuantisedModel:
    """A package that is made of a network and of ``weights``, which name its float weights; kept between runs."""
    name = f"{made_of(config, weights)}{SUFFIX}"
    return kept("packages", name, lambda part: save_package(make(), part), load_package)


def _kept_seeded(config: Model, seed: int) -> dict[str, FloatArray]:
    """Equalised seeded float arrays; kept between runs, since equalising them takes a calibration."""
    return kept(
        "packages",
        f"{made_of(config, seed)}.float{SUFFIX}",
        lambda part: save_float(part, seeded_calibrated(config, seed)[0], config, {}),
        lambda path: read_float(path, config)[0],
    )


def made_of(config: Model, weights: object) -> str:
    """Digest of all that a network's numbers depend on; ``weights`` names the float weights that they come from."""
    code = part_digest("hwgen.frontend", "hwgen.spec", "golden")
    return digest(model_data(config), weights, code, np.__version__)


def float_digest(name: str) -> str:
    """What the float weights of `load_float` are, without reading or making those that follow from something smaller.

    PackageError when an imported package does not say.
    """
    if name.endswith(SUFFIX):
        model = load_package(Path(name))
        found = model.provenance.get("weights_sha256")
        if found is None:
            raise PackageError(f"{name}: the manifest does not say which float weights it was made of; import it again")
        return made_of(model.config, found)
    config = find_model(name)
    return made_of(config, file_digest(float_path(name)) if name in SHIPPED else 0)
