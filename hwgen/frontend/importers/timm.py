"""Classifiers with timm's key names: vit_*_patch*_*, deit_*_patch*_* and their like. timm itself is not needed."""

from typing import Any

import numpy as np

from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.function import function_of
from hwgen.frontend.importers.imported import (
    Imported,
    ImportOptions,
    PixelRule,
    backbone_config,
    fold_pixels,
    image_size_of,
    refuse_known,
    refuse_unused,
)
from hwgen.frontend.importers.timm_config import timm_config
from hwgen.frontend.importers.vit import REFUSED, VitReader
from hwgen.frontend.scaling import FloatArray
from hwgen.spec.model import TaskConfig

DEFAULT_MEAN, DEFAULT_STD = (0.5,), (0.5,)
TASK = "class"
_REFUSED = (
    (r"fc_norm\..*", "average pooling before the classifier is not supported; only the class token is read"),
    *REFUSED,
)
_DISTILLED = ("dist_token", "head_dist.weight", "head_dist.bias")


def _drop_distillation(checkpoint: Checkpoint, options: ImportOptions, notes: list[str]) -> bool:
    """Whether there is a distillation token, all of whose tensors the import leaves out."""
    if "dist_token" not in checkpoint:
        return False
    if not options.drop_distillation:
        raise CheckpointError(
            f"{checkpoint.label}: dist_token: the machine has one class token; --drop-distillation imports the network"
            " without the distillation token and its head, which changes its predictions"
        )
    for name in _DISTILLED:
        if name in checkpoint:
            checkpoint.drop(name)
    notes.append(
        "distillation token, its position (row 1 of pos_embed) and head_dist are left out: predictions differ from the"
        " original, which averages two heads"
    )
    return True


def _classifier(reader: VitReader, notes: list[str]) -> tuple[int, dict[str, FloatArray]]:
    """Number of classes, and the final LayerNorm and head."""
    checkpoint = reader.checkpoint
    if "head.weight" not in checkpoint:
        raise CheckpointError(
            f"{checkpoint.label}: head.weight is missing: a network without classifier (num_classes=0) gives features,"
            " which this import does not offer; save it with its head"
        )
    classes = checkpoint.shape("head.weight")[0]
    notes.append(f"task: {TASK!r}, {classes} classes from the class token")
    return classes, reader.norm("norm", "norm") | reader.linear("head", f"heads.{TASK}", classes, reader.dim)


def import_timm(checkpoint: Checkpoint, options: ImportOptions) -> Imported:
    """The float model of a timm state_dict; CheckpointError names a tensor or entry of config.json."""
    notes: list[str] = []
    described = timm_config(checkpoint, notes)
    if described is not None:
        described.refuse_other_functions()
    refuse_known(checkpoint, _REFUSED)
    reader = VitReader(checkpoint)
    position = reader.position()
    if _drop_distillation(checkpoint, options, notes):
        position = np.delete(position, 1, axis=0)
    classes, arrays = _classifier(reader, notes)
    if described is not None:
        described.refuse_other_sizes(reader, classes)
        options = described.complete(options, len(position) - 1, reader.patch)
    pixels = PixelRule(mean=options.mean or DEFAULT_MEAN, std=options.std or DEFAULT_STD)
    arrays["patch_embed.weight"], arrays["patch_embed.bias"] = fold_pixels(
        *reader.patch_embed(), pixels.mean, pixels.std
    )
    arrays["class_token"], arrays["position"] = reader.token("cls_token"), position
    for block in range(reader.depth):
        arrays |= reader.attention(block) | reader.mlp(block)
    refuse_unused(checkpoint)
    size = image_size_of(options, len(position) - 1, reader.patch)
    tasks = (TaskConfig(name=TASK, kind="classification", classes=classes),)
    config = backbone_config(options, reader, size, tasks)
    facts: dict[str, Any] = {
        "mean": list(pixels.mean),
        "std": list(pixels.std),
        "distillation_dropped": options.drop_distillation,
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
            said=described.said() if described is not None else {},
        ),
        pixels=pixels,
        facts=facts,
    )
