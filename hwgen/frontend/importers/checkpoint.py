"""Reads the arrays of a checkpoint by name, and keeps account of those that an import used.

Formats: safetensors, .pth and its relatives (torch, weights only: a file with code in it is refused), .npz without
pickles, and a folder of raw ``NAME.float32.bin`` files, whose arrays have no shape until they are asked for.
"""

# pyright: basic
# (torch is only partly typed)

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from hwgen.frontend.scaling import FloatArray
from hwgen.process.install import install_hint
from hwgen.spec.package import PackageError

RAW_SUFFIX = ".float32.bin"
PICKLED = (".pth", ".pt", ".ckpt", ".bin")
WRAPPERS = ("model", "state_dict", "model_state_dict")  # where training scripts put the state_dict
_SHOWN = 6  # names listed in one message
_HEADER_LENGTH_BYTES = 8  # at the front of a safetensors file
Array = NDArray[Any]


class CheckpointError(PackageError):
    """A checkpoint that cannot be imported; the message names the tensor or the file, the reason and the way out."""


def listed(names: list[str]) -> str:
    """The first few of many names."""
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


class Checkpoint:
    """Arrays of a checkpoint by name.

    Parameters
    ----------
    label: what messages call the checkpoint.
    arrays: name -> array.
    flat: whether arrays have no shape (raw files); they take the shape that is asked for when the size agrees.
    allow_dead: let channels pass whose weights have no variance.
    metadata: what a safetensors file says besides its arrays.
    folder: where files that describe the checkpoint may lie; None when it came from no file.
    originals: name -> what the file calls the array, where that is something else; messages have it.
    """

    def __init__(
        self,
        label: str,
        arrays: Mapping[str, Array],
        *,
        flat: bool = False,
        allow_dead: bool = False,
        metadata: Mapping[str, str] | None = None,
        folder: Path | None = None,
        originals: Mapping[str, str] | None = None,
    ) -> None:
        self.label = label
        self.folder = folder
        self.metadata = dict(metadata or {})
        self.flat = flat
        self.allow_dead = allow_dead
        self._originals = dict(originals or {})
        self._arrays = dict(arrays)
        self._used: set[str] = set()

    @property
    def names(self) -> list[str]:
        """Every name, in the order of the file."""
        return list(self._arrays)

    @property
    def unused(self) -> list[str]:
        """Names that nothing asked for."""
        return [name for name in self._arrays if name not in self._used]

    @property
    def sha256(self) -> str:
        """Digest of names and values, for a checkpoint that comes from no file."""
        sha = hashlib.sha256()
        for name, array in self._arrays.items():
            sha.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return sha.hexdigest()

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def original(self, name: str) -> str:
        """What the file calls an array."""
        return self._originals.get(name, name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array, [size] in a flat checkpoint."""
        return self._found(name).shape

    def drop(self, name: str) -> None:
        """Count an array as used although nothing takes it; the import says why."""
        self._used.add(name)

    def take(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        """A float32 array of exactly this shape, all values finite."""
        found = self._found(name)
        if self.flat and found.size == np.prod(shape):
            found = found.reshape(shape)
        if found.shape != shape:
            held = f"{found.size} values" if self.flat else f"shape {list(found.shape)}"
            raise CheckpointError(f"{self.label}: {self.original(name)} has {held}, expected {list(shape)}")
        if found.dtype.kind != "f":
            raise CheckpointError(f"{self.label}: {name} holds {found.dtype}, expected floating-point values")
        with np.errstate(over="ignore"):
            values = found.astype(np.float32)
        bad = ~np.isfinite(values)
        if bad.any():
            where = [int(i) for i in np.argwhere(bad)[0]]
            raise CheckpointError(
                f"{self.label}: {name} holds {bad.sum()} NaN or infinite values, the first at {where}"
            )
        self._used.add(name)
        return values

    def weight(self, name: str, shape: tuple[int, ...], *, axes: tuple[int, ...] = (-1,)) -> FloatArray:
        """A weight; every output channel must vary over its inputs, which lie on ``axes``."""
        values = self.take(name, shape)
        self._refuse_dead(name, np.ptp(values, axis=axes) == 0, "are the same for every input (zero variance)")
        return values

    def gamma(self, name: str, dim: int) -> FloatArray:
        """The weight of a LayerNorm; no channel may be zero."""
        values = self.take(name, (dim,))
        self._refuse_dead(name, values == 0, "are zero, so that the output has zero variance")
        return values

    def _refuse_dead(self, name: str, dead: Array, what: str) -> None:
        if dead.any() and not self.allow_dead:
            where = [int(i) for i in np.argwhere(dead)[0]]
            raise CheckpointError(
                f"{self.label}: {self.original(name)}: the weights of {dead.sum()} of {dead.size} channels {what}, the"
                f" first is {where}; if that is how the network was trained, give --allow-dead-channels"
            )

    def _found(self, name: str) -> Array:
        if name not in self._arrays:
            raise CheckpointError(f"{self.label}: {name} is missing; there are {listed(self.names)}")
        return self._arrays[name]


def _read_safetensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays and metadata; bfloat16, which NumPy lacks, becomes float32."""
    arrays: dict[str, Array] = {}
    name = "header"
    try:
        with safe_open(path, framework="numpy") as handle:
            metadata = dict(handle.metadata() or {})
            for name in list(handle.keys()):
                narrow = handle.get_slice(name).get_dtype() == "BF16"
                arrays[name] = _bfloat16(path, name) if narrow else handle.get_tensor(name)
    except Exception as error:  # safetensors raises its own undocumented types
        raise CheckpointError(
            f"{path}: {name} cannot be read ({error}); it may be truncated, or of a type without NumPy equivalent:"
            " save it as float32"
        ) from error
    return arrays, metadata


def _bfloat16(path: Path, name: str) -> Array:
    """A bfloat16 array as float32, exactly: its bits are the upper half of a float32."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(_HEADER_LENGTH_BYTES), "little")
        entry = json.loads(file.read(header_bytes))[name]
        begin, end = entry["data_offsets"]
        file.seek(_HEADER_LENGTH_BYTES + header_bytes + begin)
        halves = np.frombuffer(file.read(end - begin), dtype="<u2")
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])


def _read_npz(path: Path) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    name = "list of arrays"
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                arrays[name] = archive[name]
    except Exception as error:  # zip, zlib, header and pickle errors of many types
        raise CheckpointError(
            f"{path}: {name} cannot be read ({error}); the file is truncated, no .npz, or holds pickled objects, which"
            " may contain code and are refused"
        ) from error
    return arrays


def _read_pickled(path: Path) -> dict[str, Array]:
    try:
        import torch  # here: only this format needs it
    except ImportError as error:
        raise CheckpointError(
            f"{path}: reading {path.suffix} needs torch: {install_hint('train')}, or save it as .safetensors"
        ) from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch errors of many types
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"{path}: refused: truncated, not a torch file, or it holds code besides tensors, which is never run"
            f" ({reason[0]}); save model.state_dict() alone, or as .safetensors"
        ) from error
    state = _state_dict(path, found)
    arrays: dict[str, Array] = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{path}: {name} is a {type(value).__name__}, expected a tensor")
        arrays[str(name)] = _tensor(path, str(name), value)
    return arrays


def _tensor(path: Path, name: str, value: Any) -> Array:
    """A torch tensor as an array, every floating-point type as float32."""
    import torch  # loaded already: a tensor is here

    dense = value.detach()
    try:
        return (dense.to(torch.float32) if dense.is_floating_point() else dense).numpy()
    except (TypeError, RuntimeError) as error:  # sparse, quantised and meta tensors
        raise CheckpointError(
            f"{path}: {name} is no plain tensor ({dense.layout}, {dense.dtype}, on {dense.device}); save it as float32"
        ) from error


def _state_dict(path: Path, found: Any) -> Mapping[Any, Any]:
    """The state_dict in what a file holds: at the top, or under one of the usual names."""
    if isinstance(found, Mapping):
        for wrapper in WRAPPERS:
            if isinstance(found.get(wrapper), Mapping):
                return found[wrapper]
        return found
    raise CheckpointError(f"{path}: holds a {type(found).__name__}, expected a state_dict")


def _read_folder(path: Path) -> dict[str, Array]:
    files = sorted(path.glob(f"*{RAW_SUFFIX}"))
    if not files:
        raise CheckpointError(f"{path}: a folder without *{RAW_SUFFIX} files")
    arrays: dict[str, Array] = {}
    for file in files:
        size = file.stat().st_size
        if size == 0 or size % 4:
            raise CheckpointError(f"{file}: {size} bytes, not a whole number of float32 values; it is truncated")
        arrays[file.name.removesuffix(RAW_SUFFIX)] = np.fromfile(file, dtype="<f4")
    return arrays


def read_checkpoint(path: Path, *, allow_dead: bool = False) -> Checkpoint:
    """The checkpoint in a file or a folder; CheckpointError says what is wrong with it."""
    if path.is_dir():
        return Checkpoint(str(path), _read_folder(path), flat=True, allow_dead=allow_dead, folder=path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file or folder")
    metadata: dict[str, str] = {}
    if path.suffix == ".safetensors":
        arrays, metadata = _read_safetensors(path)
    elif path.suffix == ".npz":
        arrays = _read_npz(path)
    elif path.suffix in PICKLED:
        arrays = _read_pickled(path)
    else:
        raise CheckpointError(
            f"{path}: unknown kind of file; give .safetensors, .npz, {', '.join(PICKLED)} or a folder of *{RAW_SUFFIX}"
        )
    if not arrays:
        raise CheckpointError(f"{path}: holds no tensor")
    if all(name.startswith("module.") for name in arrays):  # saved from a data-parallel wrapper
        arrays = {name.removeprefix("module."): array for name, array in arrays.items()}
    return Checkpoint(str(path), arrays, allow_dead=allow_dead, metadata=metadata, folder=path.parent)


def source_sha256(path: Path) -> str:
    """Digest of a checkpoint file, or of all raw files of a folder in the order of their names."""
    sha = hashlib.sha256()
    for file in sorted(path.glob(f"*{RAW_SUFFIX}")) if path.is_dir() else [path]:
        sha.update(file.read_bytes())
    return sha.hexdigest()
