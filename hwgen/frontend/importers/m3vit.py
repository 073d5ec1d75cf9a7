"""Checkpoints with the key names of the M3ViT repository: dense even blocks, experts in the odd ones, a gate per task.

Experts are stacked as fastmoe stacks them (``htoh4.weight`` [experts, hidden, dim]); a gate is stored as
``w_gate`` [dim, experts]. The gate noisy_vmoe takes the softmax over all experts and keeps the scores of the chosen
ones as they are; the gate noisy, known by its ``w_noise``, takes the softmax over the chosen ones. Neither has noise
when it is not training. Convolutional decoders stay on the host, except for the LayerNorm that they begin with.
"""

import re
from dataclasses import replace

from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError, listed
from hwgen.frontend.importers.function import function_of
from hwgen.frontend.importers.imported import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Imported,
    ImportOptions,
    PixelRule,
    backbone_config,
    feature_heads,
    fold_pixels,
    refuse_known,
    refuse_unused,
    task_names,
    top_k_of,
)
from hwgen.frontend.importers.sizes import image_size_of
from hwgen.frontend.importers.vit import REFUSED, VitReader
from hwgen.frontend.scaling import FloatArray

_REFUSED = (
    (r".*gate_task_represent\..*", "task features appended to the gate's input are not supported; train multi_gate"),
    (r".*\.gate\.(\d+\.)?(head\..*|w_gate_aux)", "gates with a second output are not supported"),
    (r"(.*\.)?tam_model\d\..*", "the task attention module is used in training only; save the network without it"),
    (r".*dist_token", "a distillation token is not supported: the machine has one class token"),
    (r".*reg_token", "register tokens are not supported here: the machine would need one position row each"),
    *REFUSED,
)


class _MoeReader:
    """Gates and experts of one checkpoint."""

    def __init__(self, reader: VitReader) -> None:
        self.reader = reader
        self.checkpoint = reader.checkpoint
        blocks = range(reader.depth)
        self.blocks = tuple(b for b in blocks if f"{self._at(b)}.experts.htoh4.weight" in self.checkpoint)
        if not self.blocks:
            raise CheckpointError(
                f"{self.checkpoint.label}: {self._at(1)}.experts.htoh4.weight is missing: no block has experts; a dense"
                " network is imported as timm"
            )
        first = f"{self._at(self.blocks[0])}.experts.htoh4.weight"
        shape = self.checkpoint.shape(first)
        if len(shape) != 3:
            raise CheckpointError(
                f"{self.checkpoint.label}: {first} has shape {list(shape)}, expected [experts, hidden, dim]"
            )
        self.experts, self.hidden = shape[:2]
        self.shared = f"{self._at(self.blocks[0])}.gate.w_gate" in self.checkpoint
        self.renormalise = any(name.endswith(".w_noise") for name in self.checkpoint.names)

    def _at(self, block: int) -> str:
        return f"{self.reader.prefix}blocks.{block}.mlp"

    def gates(self) -> int:
        """Gates of a block, one per task."""
        at = re.escape(f"{self._at(self.blocks[0])}.gate.")
        return sum(re.fullmatch(rf"{at}\d+\.w_gate", name) is not None for name in self.checkpoint.names)

    def block(self, block: int, tasks: tuple[str, ...]) -> dict[str, FloatArray]:
        """Experts and the gate of every task; w_noise matters in training only."""
        to, at, dim = f"blocks.{block}", self._at(block), self.reader.dim
        arrays: dict[str, FloatArray] = {}
        for index, task in enumerate(tasks):
            gate = f"{at}.gate" if self.shared else f"{at}.gate.{index}"
            weight = self.checkpoint.weight(f"{gate}.w_gate", (dim, self.experts), axes=(0,))
            arrays[f"{to}.gate.{task}.weight"] = weight.T
            self.checkpoint.drop(f"{gate}.w_noise")
        for from_, layer, out, inputs in (("htoh4", "fc1", self.hidden, dim), ("h4toh", "fc2", dim, self.hidden)):
            weight = self.checkpoint.weight(f"{at}.experts.{from_}.weight", (self.experts, out, inputs))
            arrays[f"{to}.experts.{layer}.weight"] = weight
            arrays[f"{to}.experts.{layer}.bias"] = self.checkpoint.take(
                f"{at}.experts.{from_}.bias", (self.experts, out)
            )
        return arrays


def _decoders(checkpoint: Checkpoint) -> list[str]:
    """Tasks that have a decoder, in the order of the file."""
    found = (match[1] for name in checkpoint.names if (match := re.match(r"decoders\.(\w+)\.", name)))
    return list(dict.fromkeys(found))


def _tasks(checkpoint: Checkpoint, options: ImportOptions, moe: _MoeReader) -> tuple[str, ...]:
    """Names of the tasks in the order of their gates."""
    decoders = _decoders(checkpoint)
    if moe.shared:
        return options.tasks or tuple(decoders) or ("task0",)
    if not options.tasks and len(decoders) > 1:
        raise CheckpointError(
            f"--tasks is needed: gates have numbers and decoders names ({', '.join(decoders)}); give the names in the"
            " order of the gates"
        )
    tasks = task_names(options.tasks or tuple(decoders), moe.gates())
    strangers = [task for task in tasks if decoders and task not in decoders]
    if strangers:
        raise CheckpointError(f"--tasks: {listed(strangers)} has no decoder; there are {', '.join(decoders)}")
    return tasks


def _decoder_norms(
    reader: VitReader, options: ImportOptions, notes: list[str]
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """The LayerNorm at the front of each decoder; what follows it stays on the host, if the user agrees."""
    checkpoint = reader.checkpoint
    rest = [name for name in checkpoint.names if re.match(r"decoders\.\w+\.", name)]
    if rest and not options.features:
        layers = [name for name in rest if not re.fullmatch(r"decoders\.\w+\.norm\.\w+", name)]
        raise CheckpointError(
            f"{checkpoint.label}: {listed(layers or rest)}: convolutional decoders are not supported; --features"
            " imports the backbone up to the LayerNorm of each decoder and leaves the rest to the host"
        )
    norms: dict[str, tuple[FloatArray, FloatArray]] = {}
    for task in _decoders(checkpoint):
        if f"decoders.{task}.norm.weight" in checkpoint:
            found = reader.norm(f"decoders.{task}.norm", "norm")
            norms[task] = found["norm.weight"], found["norm.bias"]
    left = [name for name in rest if name in checkpoint.unused]
    for name in left:
        checkpoint.drop(name)
    if left:
        notes.append(f"left to the host: {len(left)} arrays of the decoders ({listed(left)})")
    return norms


def import_m3vit(checkpoint: Checkpoint, options: ImportOptions) -> Imported:
    """The float model of an M3ViT state_dict, with or without decoders; CheckpointError names what does not fit."""
    notes: list[str] = []
    refuse_known(checkpoint, _REFUSED)
    prefix = "backbone." if any(name.startswith("backbone.") for name in checkpoint.names) else ""
    reader = VitReader(checkpoint, prefix)
    moe = _MoeReader(reader)
    tasks = _tasks(checkpoint, options, moe)
    pixels = PixelRule(mean=options.mean or IMAGENET_MEAN, std=options.std or IMAGENET_STD)
    arrays: dict[str, FloatArray] = {}
    arrays["patch_embed.weight"], arrays["patch_embed.bias"] = fold_pixels(
        *reader.patch_embed(), pixels.mean, pixels.std
    )
    arrays["class_token"], arrays["position"] = reader.token("cls_token"), reader.position()
    for block in range(reader.depth):
        arrays |= reader.attention(block)
        arrays |= moe.block(block, tasks) if block in moe.blocks else reader.mlp(block)
    norms = _decoder_norms(reader, options, notes)
    refuse_unused(checkpoint)
    kinds, heads = feature_heads(tasks, reader.dim, norms, notes)
    size = image_size_of(options, len(arrays["position"]) - 1, reader.patch)
    rule = "over the chosen experts (w_noise is there: gate noisy)" if moe.renormalise else "over all (noisy_vmoe)"
    notes.append(f"gates: {'one for all tasks' if moe.shared else 'one per task'}, scores are a softmax {rule}")
    config = replace(
        backbone_config(options, reader, size, kinds),
        moe_blocks=moe.blocks,
        experts=moe.experts,
        top_k=top_k_of(options, moe.experts, None, notes),
        expert_hidden=moe.hidden,
        gate_renormalise=moe.renormalise,
    )
    function = function_of(config, options, pixels, qkv_bias=reader.qkv_bias, layer_scales=reader.layer_scales, said={})
    return Imported(
        config=config,
        arrays=arrays | heads,
        notes=tuple(notes),
        function=function,
        pixels=pixels,
        facts={"mean": list(pixels.mean), "std": list(pixels.std)},
    )
