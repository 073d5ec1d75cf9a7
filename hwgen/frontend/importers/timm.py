"""Vision transformers with timm's key names: vit_*_patch*_*, deit_*_patch*_* and their like. timm is not needed."""

from dataclasses import replace
from typing import Any

import numpy as np

from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.described import Described
from hwgen.frontend.importers.form import Form
from hwgen.frontend.importers.function import READ, function_of
from hwgen.frontend.importers.imported import (
    Imported,
    ImportOptions,
    PixelRule,
    backbone_config,
    fold_pixels,
    refuse_known,
    refuse_unused,
)
from hwgen.frontend.importers.pooled import mean_norm_arrays
from hwgen.frontend.importers.resize import resized
from hwgen.frontend.importers.sizes import Size, sizes_of
from hwgen.frontend.importers.timm_config import timm_config
from hwgen.frontend.importers.vit import REFUSED, VitReader
from hwgen.frontend.scaling import FloatArray
from hwgen.spec.constructors import CLASS_TOKENS, POOL_NORM, ClassToken
from hwgen.spec.model import TaskConfig

DEFAULT_MEAN, DEFAULT_STD = (0.5,), (0.5,)
TASK = "class"
FEATURES = "features"
_DISTILLED = ("dist_token", "head_dist.weight", "head_dist.bias")


def _drop_distillation(checkpoint: Checkpoint, options: ImportOptions, notes: list[str]) -> bool:
    """Whether there is a distillation token, all of whose tensors the import leaves out."""
    if "dist_token" not in checkpoint or not options.drop_distillation:
        return False
    for name in _DISTILLED:
        if name in checkpoint:
            checkpoint.drop(name)
    notes.append(
        "distillation token, its position (row 1 of pos_embed) and head_dist are left out: predictions differ from the"
        " original, which averages two heads"
    )
    return True


def form_of_arrays(checkpoint: Checkpoint, options: ImportOptions, patch: int) -> Form:
    """What names of arrays say of the function; the rest is assumed."""
    rows, registers = (_rows(checkpoint, name) for name in ("pos_embed", "reg_token"))
    class_token: ClassToken = "learned" if "cls_token" in checkpoint else "none"
    if "dist_token" in checkpoint:
        class_token = "distilled"
    sources = {"class token": READ}
    pool = "token"
    if "fc_norm.weight" in checkpoint:
        pool = "mean_norm"
    elif class_token == "none":
        pool = "mean"
    prefix = CLASS_TOKENS[class_token] + registers
    return Form(
        class_token=class_token,
        registers=registers,
        pool=pool,
        position="pos_embed" in checkpoint,
        prefix_position=_fits(rows - prefix, options, patch) or not _fits(rows, options, patch),
        sources=sources,
    )


def _rows(checkpoint: Checkpoint, name: str) -> int:
    """Rows of an array [1, rows, dim]; none when it is missing."""
    if name not in checkpoint:
        return 0
    shape = checkpoint.shape(name)
    if len(shape) != 3:
        raise CheckpointError(
            f"{checkpoint.label}: {checkpoint.original(name)} has shape {list(shape)}, expected [1, rows, channels]"
        )
    return shape[1]


def _fits(patches: int, options: ImportOptions, patch: int) -> bool:
    """Whether a grid of so many patches is the image's, or a square."""
    if options.image_size is not None:
        return patches == options.image_size[0] // patch * (options.image_size[1] // patch)
    return patches > 0 and round(patches**0.5) ** 2 == patches


def _head(reader: VitReader, form: Form, notes: list[str]) -> tuple[TaskConfig, dict[str, FloatArray]]:
    """The task, and the final LayerNorm and head; two class tokens have two heads, whose mean is the answer."""
    checkpoint = reader.checkpoint
    last = POOL_NORM if form.pool == "mean_norm" else "norm"
    norm = reader.norm("fc_norm" if "fc_norm.weight" in checkpoint else "norm", last)
    if form.pool == "mean_norm":
        norm |= mean_norm_arrays(reader.dim)
    if "head.weight" not in checkpoint:
        return _features(reader, form, notes, norm)
    classes = checkpoint.shape("head.weight")[0]
    head = reader.linear("head", f"heads.{TASK}", classes, reader.dim)
    if form.class_token == "distilled":
        other = reader.linear("head_dist", f"heads.{TASK}", classes, reader.dim)
        weight, bias = f"heads.{TASK}.weight", f"heads.{TASK}.bias"
        head = {
            weight: np.concatenate([head[weight], other[weight]], axis=1) / 2,
            bias: (head[bias] + other[bias]) / 2,
        }
    token = "both class tokens" if form.class_token == "distilled" else "the class token"
    read = token if form.pool == "token" else "the mean of patches"
    notes.append(f"task: {TASK!r}, {classes} classes from {read}")
    return TaskConfig(name=TASK, kind="classification", classes=classes), norm | head


def _features(
    reader: VitReader, form: Form, notes: list[str], norm: dict[str, FloatArray]
) -> tuple[TaskConfig, dict[str, FloatArray]]:
    """A network without classifier: every token behind the last LayerNorm, or the pooled ones."""
    head: dict[str, FloatArray] = {
        f"heads.{FEATURES}.weight": np.eye(reader.dim, dtype=np.float32),
        f"heads.{FEATURES}.bias": np.zeros(reader.dim, dtype=np.float32),
    }
    pooled = form.pool != "token" or "fc_norm.weight" in reader.checkpoint  # behind the pooling
    notes.append(
        f"task: {FEATURES!r}, there is no classifier: {reader.dim} values of"
        f" {'the pooled token' if pooled else 'every token, class token first'}"
    )
    kind = "classification" if pooled else "features"
    return TaskConfig(name=FEATURES, kind=kind, classes=reader.dim), norm | head


def _patches(reader: VitReader, form: Form) -> int | None:
    """Patches that the position embedding has rows for; None when there is no such thing."""
    if not form.position:
        return None
    rows = reader.position_rows - (form.prefix if form.prefix_position else 0)
    if rows < 1:
        raise CheckpointError(
            f"{reader.checkpoint.label}: pos_embed has {reader.position_rows} rows, {form.prefix} of them in front of"
            " the patches: none is left for a patch"
        )
    return rows


def _position(reader: VitReader, form: Form, sizes: tuple[Size, Size], notes: list[str]) -> FloatArray:
    """Everything that is added to the tokens before block 0 but the class token, [tokens, dim].

    ``sizes``: of the images that the table belongs to, and of those that the network is to take.
    """
    checkpoint, patch = reader.checkpoint, reader.patch
    old, new = ((side[0] // patch, side[1] // patch) for side in sizes)
    table = reader.position() if form.position else None
    own = form.prefix if form.prefix_position else 0  # rows of the table in front of the patches'
    full = np.zeros((form.prefix + new[0] * new[1], reader.dim), dtype=np.float32)
    if table is not None:
        full[form.prefix - own : form.prefix] = table[:own]
        full[form.prefix :] = resized(table[own:], old, new, antialias=form.resizing.antialias)
        if old != new:
            notes.append(
                f"position embedding resized from {old[0]}x{old[1]} to {new[0]}x{new[1]} patches ({form.resizing})"
            )
    first = CLASS_TOKENS[form.class_token]
    if form.registers:
        tokens = checkpoint.take("reg_token", (1, form.registers, reader.dim))[0]
        full[first : form.prefix] += tokens
    if form.class_token == "distilled":
        full[1] += reader.token("dist_token")
    return full


def import_timm(checkpoint: Checkpoint, options: ImportOptions) -> Imported:
    """The float model of a timm state_dict; CheckpointError names a tensor or entry of config.json."""
    notes: list[str] = []
    described = timm_config(checkpoint, notes)
    return import_described(checkpoint, options, described, notes)


def import_described(
    checkpoint: Checkpoint, options: ImportOptions, described: Described | None, notes: list[str]
) -> Imported:
    """The float model of arrays, with what is known besides them."""
    if described is not None:
        described.refuse_other_functions()
    refuse_known(checkpoint, REFUSED)
    reader = VitReader(checkpoint)
    form = form_of_arrays(checkpoint, options, reader.patch)
    if described is not None:
        form = described.form(form)
        described.refuse_other_sizes(reader, _classes(checkpoint))
        options = described.complete(options, _patches(reader, form), reader.patch)
    sizes = sizes_of(checkpoint.label, options, _patches(reader, form), reader.patch)
    position = _position(reader, form, sizes, notes)
    dropped = _drop_distillation(checkpoint, options, notes)
    if dropped:
        form, position = replace(form, class_token="learned"), np.delete(position, 1, axis=0)
    task, arrays = _head(reader, form, notes)
    pixels = PixelRule(mean=options.mean or DEFAULT_MEAN, std=options.std or DEFAULT_STD)
    arrays["patch_embed.weight"], arrays["patch_embed.bias"] = fold_pixels(
        *reader.patch_embed(), pixels.mean, pixels.std
    )
    arrays["position"] = position
    if form.class_token != "none":
        arrays["class_token"] = reader.token("cls_token")
    for block in range(reader.depth):
        arrays |= reader.attention(block) | reader.mlp(block)
    refuse_unused(checkpoint)
    config = backbone_config(options, reader, sizes[1], (task,), form)
    facts: dict[str, Any] = {
        "mean": list(pixels.mean),
        "std": list(pixels.std),
        "distillation_dropped": dropped,
    }
    if described is not None:
        facts["architecture"] = described.architecture
    return Imported(
        config=config,
        arrays=arrays,
        notes=tuple(notes),
        function=function_of(
            config,
            options,
            pixels,
            qkv_bias=reader.qkv_bias,
            layer_scales=reader.layer_scales,
            said=form.sources,
        ),
        pixels=pixels,
        facts=facts,
    )


def _classes(checkpoint: Checkpoint) -> int:
    return checkpoint.shape("head.weight")[0] if "head.weight" in checkpoint else 0
