"""What every import has in common: options, result, and the exact transformations of weights."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from golden.reference.layers.patches import PIXEL_SCALE
from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError, listed
from hwgen.frontend.importers.form import Form
from hwgen.frontend.scaling import FloatArray
from hwgen.spec.graph_model import Model
from hwgen.spec.model import ModelConfig, TaskConfig

HEAD_DIM = 64  # channels of a head when --heads does not say otherwise
PIXEL_CENTRE = 128.0  # the network sees (pixel - PIXEL_CENTRE) * PIXEL_SCALE
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Refusals = Sequence[tuple[str, str]]  # pattern of a whole name -> why such a tensor cannot be imported


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What a checkpoint does not say. None and empty mean: not given."""

    name: str
    heads: int | None = None
    image_size: tuple[int, int] | None = None  # height, width in pixels
    trained_size: tuple[int, int] | None = None  # the same, of the images that the position embedding belongs to
    mean: tuple[float, ...] | None = None  # per colour channel, of pixels / 255
    std: tuple[float, ...] | None = None
    tasks: tuple[str, ...] = ()
    top_k: int | None = None
    drop_distillation: bool = False
    features: bool = False
    stand_in_experts: bool = False
    sources: Mapping[str, str] = field(default_factory=dict[str, str])  # option -> who gave it, when not the user


@dataclass(frozen=True, kw_only=True)
class PixelRule:
    """What a network sees of a pixel p: ``(p / full - mean) / std``, per colour channel or one for all.

    The default is what a network of this project sees.
    """

    mean: tuple[float, ...] = (PIXEL_CENTRE / 255.0,)
    std: tuple[float, ...] = (1.0 / (PIXEL_SCALE * 255.0),)
    full: float = 255.0

    def __str__(self) -> str:
        """As a formula."""
        return f"(p / {self.full:g} - {[round(x, 6) for x in self.mean]}) / {[round(x, 6) for x in self.std]}"


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A float model, and what a user must know about how it came about."""

    config: Model
    arrays: dict[str, FloatArray]
    notes: tuple[str, ...]  # sentences for the user
    function: Mapping[str, str] = field(default_factory=dict[str, str])  # part -> what it computes, and who says so
    pixels: PixelRule = PixelRule()
    facts: dict[str, Any] = field(default_factory=dict[str, Any])  # for the provenance of the package


def fold_pixels(
    weight: FloatArray, bias: FloatArray, mean: Sequence[float], std: Sequence[float], full: float = 255.0
) -> tuple[FloatArray, FloatArray]:
    """Patch embedding of pixels ``(p / full - mean) / std`` as one of this project's pixels; exact.

    weight [dim, channels, y, x] becomes [dim, channels * y * x]; mean and std are per channel, or one for all.
    """
    scale, offset = _pixel_affine(weight.shape[1], mean, std, full)
    wide = weight.astype(np.float64)
    folded = wide / (PIXEL_SCALE * full * scale)
    moved = bias + (wide * offset).sum(axis=(1, 2, 3))
    return folded.reshape(len(weight), -1).astype(np.float32), moved.astype(np.float32)


def unfold_pixels(
    weight: FloatArray, bias: FloatArray, mean: Sequence[float], std: Sequence[float], full: float = 255.0
) -> tuple[FloatArray, FloatArray]:
    """The inverse of `fold_pixels`; weight [dim, channels, y, x] keeps its shape."""
    scale, offset = _pixel_affine(weight.shape[1], mean, std, full)
    wide = weight.astype(np.float64) * (PIXEL_SCALE * full * scale)
    moved = bias - (wide * offset).sum(axis=(1, 2, 3))
    return wide.astype(np.float32), moved.astype(np.float32)


def _pixel_affine(
    channels: int, mean: Sequence[float], std: Sequence[float], full: float
) -> tuple[FloatArray, FloatArray]:
    """Per channel [channels, 1, 1]: the deviation, and what a pixel of PIXEL_CENTRE is to the checkpoint."""
    if len(mean) not in (1, channels) or len(std) not in (1, channels):
        raise CheckpointError(f"--mean and --std need 1 or {channels} values, got {len(mean)} and {len(std)}")
    if not all(np.isfinite([*mean, *std])) or min(std) <= 0:
        raise CheckpointError(f"--std must be positive and --mean finite, got {list(std)} and {list(mean)}")
    scale = np.broadcast_to(np.asarray(std, dtype=np.float64), channels)
    centre = np.broadcast_to(np.asarray(mean, dtype=np.float64), channels)
    return scale[:, None, None], ((PIXEL_CENTRE / full - centre) / scale)[:, None, None]


def split_qkv(at: str, weight: FloatArray, bias: FloatArray) -> dict[str, FloatArray]:
    """Query, key and value of one stacked projection [3 * dim, dim]."""
    parts: dict[str, FloatArray] = {}
    for name, rows, offsets in zip(("query", "key", "value"), np.split(weight, 3), np.split(bias, 3), strict=True):
        parts[f"{at}.{name}.weight"], parts[f"{at}.{name}.bias"] = rows, offsets
    return parts


def heads_of(options: ImportOptions, dim: int) -> int:
    """Attention heads: as given, or of 64 channels each, which no checkpoint can contradict."""
    if options.heads is not None:
        if options.heads < 1 or dim % options.heads:
            where = f"{options.sources['heads']}: num_heads" if "heads" in options.sources else "--heads"
            raise CheckpointError(f"{where} {options.heads}: dim {dim} is not a multiple of it")
        return options.heads
    if dim % HEAD_DIM:
        raise CheckpointError(f"--heads: a checkpoint does not say it, and dim {dim} is not a multiple of {HEAD_DIM}")
    return dim // HEAD_DIM


class Backbone(Protocol):
    """What every reader knows of the blocks of a checkpoint."""

    patch: int
    dim: int
    depth: int
    mlp_hidden: int


def backbone_config(
    options: ImportOptions,
    reader: Backbone,
    size: tuple[int, int],
    tasks: tuple[TaskConfig, ...],
    form: Form | None = None,
) -> ModelConfig:
    """A dense network of the reader's shape for images of ``size`` (height, width); a plain one without ``form``."""
    form, heads = form or Form(), heads_of(options, reader.dim)
    try:
        return _model(options.name, reader, heads, size, tasks, form)
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def _model(
    name: str, reader: Backbone, heads: int, size: tuple[int, int], tasks: tuple[TaskConfig, ...], form: Form
) -> ModelConfig:
    return ModelConfig(
        name=name,
        image_height=size[0],
        image_width=size[1],
        patch=reader.patch,
        dim=reader.dim,
        depth=reader.depth,
        heads=heads,
        mlp_hidden=reader.mlp_hidden,
        tasks=tasks,
        class_token=form.class_token,
        registers=form.registers,
        pool=form.pool,
        activation=form.activation,
        epsilon=form.epsilon,
    )


def feature_heads(
    tasks: Sequence[str], dim: int, affine: dict[str, tuple[FloatArray, FloatArray]], notes: list[str]
) -> tuple[tuple[TaskConfig, ...], dict[str, FloatArray]]:
    """Tasks and arrays of a backbone without final LayerNorm: plain normalisation, then each task's own affine part.

    The output of a task is its normalised features, ``dim`` per patch: what a decoder that begins with a LayerNorm
    computes first. ``affine`` holds weight and bias of that LayerNorm where the checkpoint has it, else one and zero.
    """
    arrays: dict[str, FloatArray] = {
        "norm.weight": np.ones(dim, dtype=np.float32),
        "norm.bias": np.zeros(dim, dtype=np.float32),
    }
    for task in tasks:
        weight, bias = affine.get(task, (arrays["norm.weight"], arrays["norm.bias"]))
        arrays[f"heads.{task}.weight"] = np.diag(weight)
        arrays[f"heads.{task}.bias"] = bias
    own = "the LayerNorm of each decoder" if affine else "LayerNorm without weight and bias"
    notes.append(
        f"the backbone has no final LayerNorm and no linear head: the accelerator ends with {own}, and every task's"
        f" output is the {dim} normalised features of each patch, for a decoder on the host"
    )
    return tuple(TaskConfig(name=task, kind="segmentation", classes=dim) for task in tasks), arrays


def task_names(given: tuple[str, ...], count: int) -> tuple[str, ...]:
    """One name per gate: as given, or task0, task1 ..."""
    if not given:
        return tuple(f"task{index}" for index in range(count))
    if len(given) != count or len(set(given)) != count or not all(re.fullmatch(r"\w+", name) for name in given):
        raise CheckpointError(
            f"--tasks {','.join(given)}: the checkpoint has {count} gates; give {count} different names of letters,"
            " digits and underscores, in the order of the gates"
        )
    return given


def top_k_of(options: ImportOptions, experts: int, default: int | None, notes: list[str]) -> int:
    """Experts per token, which no checkpoint says."""
    if options.top_k is None:
        if default is None:
            raise CheckpointError("--top-k is needed: a checkpoint does not say how many experts a token takes")
        notes.append(f"top_k: {default} experts per token; give --top-k if that is wrong")
        return default
    if not 1 <= options.top_k <= experts:
        raise CheckpointError(f"--top-k {options.top_k}: must be in 1..{experts}, the number of experts")
    return options.top_k


def refuse_known(checkpoint: Checkpoint, refusals: Refusals) -> None:
    """Refuse, by name and with the reason, tensors of layers that are known not to run."""
    for pattern, reason in refusals:
        names = [name for name in checkpoint.names if re.fullmatch(pattern, name)]
        if names:
            raise CheckpointError(f"{checkpoint.label}: {listed(names)}: {reason}")


def refuse_unused(checkpoint: Checkpoint) -> None:
    """Nothing is skipped: a tensor that the import did not use is refused by name."""
    if checkpoint.unused:
        raise CheckpointError(
            f"{checkpoint.label}: {listed(checkpoint.unused)}: not part of any layer that this import knows; the"
            " machine runs pre-norm blocks of attention and GELU MLP or experts, a final LayerNorm and linear heads"
        )
