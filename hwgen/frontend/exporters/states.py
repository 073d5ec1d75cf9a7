"""Float weights under the key names that other programs load: timm's, M3ViT's, and those of `hwgen.frontend.m3vit`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hwgen.frontend.importers.imported import IMAGENET_MEAN, IMAGENET_STD, ImportOptions, unfold_pixels
from hwgen.frontend.scaling import FloatArray
from hwgen.spec.graph_model import Model
from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.spec.package import PackageError, QuantisedModel

Arrays = Mapping[str, FloatArray]
State = dict[str, FloatArray]
_NO_BLOCKS = "it is a list of layers, which need not be blocks"


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What the exported network wants to see: (p / 255 - mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def _front(arrays: Arrays, config: ModelConfig, pixels: Pixels, at: str = "") -> State:
    """Tokens and patch embedding; the class token lies in row 0 of the positions, so the token itself is zero."""
    square = arrays["patch_embed.weight"].reshape(-1, config.channels, config.patch, config.patch)
    weight, bias = unfold_pixels(square, arrays["patch_embed.bias"], pixels.mean, pixels.std)
    position = arrays["position"].copy()
    position[0] += arrays["class_token"]
    return {
        f"{at}cls_token": np.zeros((1, 1, config.dim), dtype=np.float32),
        f"{at}pos_embed": position[None],
        f"{at}patch_embed.proj.weight": weight,
        f"{at}patch_embed.proj.bias": bias,
    }


def _affine(arrays: Arrays, from_: str, to: str) -> State:
    """Weight and bias under another name."""
    return {f"{to}.{part}": arrays[f"{from_}.{part}"] for part in ("weight", "bias")}


def _attention(arrays: Arrays, block: int, at: str = "") -> State:
    """LayerNorms and attention of one block, the three projections stacked."""
    from_, to = f"blocks.{block}", f"{at}blocks.{block}"
    state = _affine(arrays, f"{from_}.norm1", f"{to}.norm1")
    for part in ("weight", "bias"):
        stacked = [arrays[f"{from_}.{name}.{part}"] for name in ("query", "key", "value")]
        state[f"{to}.attn.qkv.{part}"] = np.concatenate(stacked)
    state |= _affine(arrays, f"{from_}.proj", f"{to}.attn.proj")
    return state | _affine(arrays, f"{from_}.norm2", f"{to}.norm2")


def _mlp(arrays: Arrays, block: int, at: str = "") -> State:
    from_, to = f"blocks.{block}", f"{at}blocks.{block}.mlp"
    return _affine(arrays, f"{from_}.fc1", f"{to}.fc1") | _affine(arrays, f"{from_}.fc2", f"{to}.fc2")


def timm_state(arrays: Arrays, config: ModelConfig, pixels: Pixels) -> State:
    """A dense classifier as timm's VisionTransformer names it."""
    state = _front(arrays, config, pixels)
    for block in range(config.depth):
        state |= _attention(arrays, block) | _mlp(arrays, block)
    return state | _affine(arrays, "norm", "norm") | _affine(arrays, f"heads.{config.tasks[0].name}", "head")


def _mixture(arrays: Arrays, config: ModelConfig, block: int, at: str) -> State:
    """Gates and experts as fastmoe stacks them; ``w_noise`` says that scores are normalised over the chosen ones."""
    from_, to = f"blocks.{block}", f"{at}blocks.{block}.mlp"
    state = _affine(arrays, f"{from_}.experts.fc1", f"{to}.experts.htoh4")
    state |= _affine(arrays, f"{from_}.experts.fc2", f"{to}.experts.h4toh")
    for index, task in enumerate(config.tasks):
        gate = arrays[f"{from_}.gate.{task.name}.weight"].T
        state[f"{to}.gate.{index}.w_gate"] = gate
        if config.gate_renormalise:
            state[f"{to}.gate.{index}.w_noise"] = np.zeros_like(gate)
    return state


def _decoder_norm(arrays: Arrays, task: TaskConfig) -> State:
    """The final LayerNorm and a diagonal head are the LayerNorm at the front of a decoder."""
    weight = np.diag(arrays[f"heads.{task.name}.weight"])
    to = f"decoders.{task.name}.norm"
    return {
        f"{to}.weight": weight * arrays["norm.weight"],
        f"{to}.bias": weight * arrays["norm.bias"] + arrays[f"heads.{task.name}.bias"],
    }


def m3vit_state(arrays: Arrays, config: ModelConfig, pixels: Pixels) -> State:
    """A backbone with experts as the M3ViT repository names it, and the LayerNorm of every decoder."""
    at = "backbone."
    state = _front(arrays, config, pixels, at)
    for block in range(config.depth):
        state |= _attention(arrays, block, at)
        state |= _mixture(arrays, config, block, at) if config.is_moe(block) else _mlp(arrays, block, at)
    for task in config.tasks:
        state |= _decoder_norm(arrays, task)
    return state


def own_state(arrays: Arrays, config: Model, pixels: Pixels) -> State:
    """The state_dict of `hwgen.frontend.m3vit.M3ViT`, which takes pixel codes."""
    return dict(arrays)


def _timm_options(config: ModelConfig, pixels: Pixels) -> ImportOptions:
    size = config.image_height, config.image_width
    return ImportOptions(name=config.name, heads=config.heads, image_size=size, mean=pixels.mean, std=pixels.std)


def _m3vit_options(config: ModelConfig, pixels: Pixels) -> ImportOptions:
    return ImportOptions(
        name=config.name,
        heads=config.heads,
        image_size=(config.image_height, config.image_width),
        mean=pixels.mean,
        std=pixels.std,
        tasks=tuple(task.name for task in config.tasks),
        top_k=config.top_k,
        features=True,
    )


def _own_options(config: Model, pixels: Pixels) -> ImportOptions:
    return ImportOptions(name=config.name)


def _other_function(config: ModelConfig) -> str | None:
    """What an import of bare arrays would take for something else: it assumes a plain network."""
    for name in ("class_token", "registers", "activation", "epsilon"):
        value = getattr(config, name)
        if value != _PLAIN[name]:
            return f"{name} is {value}, and arrays under these names are read as {_PLAIN[name]}"
    return None


def _refuse_for_timm(config: Model, arrays: Arrays) -> str | None:
    if not isinstance(config, ModelConfig):
        return _NO_BLOCKS
    if config.moe_blocks:
        return f"blocks {list(config.moe_blocks)} have experts"
    if config.class_token == "none" or config.pool in ("mean", "mean_norm"):
        return "it has no class token, or its head reads the mean of the patches"
    if other := _other_function(config):
        return other
    if [task.kind for task in config.tasks] != ["classification"]:
        return f"it has the tasks {', '.join(f'{t.name} ({t.kind})' for t in config.tasks)}, not one classification"
    return None


def _refuse_for_m3vit(config: Model, arrays: Arrays) -> str | None:
    if not isinstance(config, ModelConfig):
        return _NO_BLOCKS
    if not config.moe_blocks:
        return "no block has experts"
    if config.class_token == "none":
        return "it has no class token"
    if other := _other_function(config):
        return other
    for task in config.tasks:
        head = arrays[f"heads.{task.name}.weight"]
        if task.kind == "classification" or head.shape != (config.dim,) * 2 or np.any(head != np.diag(np.diag(head))):
            return f"its task {task.name} ends in a linear head; there the output is normalised features"
    return None


_PLAIN = {field.name: field.default for field in fields(ModelConfig)}


@dataclass(frozen=True)
class Format:
    """How one program names a network."""

    state: Callable[[Arrays, Any, Pixels], State]  # of a network that is not refused
    options: Callable[[Any, Pixels], ImportOptions]  # what an import of the state needs to be told
    refuse: Callable[[Model, Arrays], str | None]  # why a network cannot be named so
    pixels: Pixels  # when the package does not say


# By the kind of import that reads the result; the first that fits is the default.
FORMATS: dict[str, Format] = {
    "timm": Format(timm_state, _timm_options, _refuse_for_timm, Pixels(mean=(0.5,), std=(0.5,))),
    "m3vit": Format(m3vit_state, _m3vit_options, _refuse_for_m3vit, Pixels(mean=IMAGENET_MEAN, std=IMAGENET_STD)),
    "hwgen": Format(own_state, _own_options, lambda config, arrays: None, Pixels(mean=(), std=())),
}


def format_of(config: Model, arrays: Arrays, wanted: str | None) -> str:
    """The format that was asked for, or the first that can name this network; PackageError says why it cannot."""
    if wanted is None:
        return next(name for name, form in FORMATS.items() if form.refuse(config, arrays) is None)
    reason = FORMATS[wanted].refuse(config, arrays)
    if reason is not None:
        raise PackageError(
            f"--format {wanted}: {config.name} cannot be named so: {reason}; --format hwgen names every network"
        )
    return wanted


def pixels_of(package: QuantisedModel, form: str) -> Pixels:
    """Mean and deviation of pixels as the network was imported with, or the usual ones of the format."""
    source = package.provenance
    if form == "hwgen" or not {"mean", "std"} <= set(source):
        return FORMATS[form].pixels
    return Pixels(mean=tuple(source["mean"]), std=tuple(source["std"]))
