"""The raw weights that Edge-MoE publishes: a folder of ``l3_qkv_weight.float32.bin`` and the like, or the same as .npz.

Pixels are k / 256. The class token is already in row 0 of the position embedding. Gates lie as [experts, dim], one
file per task. The matrices of the experts are not published; halves of dense MLPs may stand in for them.
"""

import re
from dataclasses import replace
from typing import Any

import numpy as np

from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.function import function_of
from hwgen.frontend.importers.imported import (
    Imported,
    ImportOptions,
    PixelRule,
    backbone_config,
    feature_heads,
    fold_pixels,
    refuse_unused,
    split_qkv,
    task_names,
    top_k_of,
)
from hwgen.frontend.importers.sizes import image_size_of
from hwgen.frontend.scaling import FloatArray

CHANNELS = 3
PIXEL_FULL = 256.0  # pixel codes are divided by this
PUBLISHED_IMAGE = (128, 256)  # height, width of the published network's images
PUBLISHED_TOP_K = 2
_NOT_WEIGHTS = r"image|l\d+_x_post_\w+"  # test data that lies beside the weights


class _EdgeReader:
    """Sizes and layers; a folder has no shapes, so that sizes come from counts of values."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.depth = self._depth()
        self.dim = self._count("l0_norm1_weight")
        self.tokens = self._divided("pos_embed", self.dim)
        self.patch = round(self._divided("patch_embed_weight", self.dim * CHANNELS) ** 0.5)
        moe = [block for block in range(self.depth) if f"l{block}_htoh4_bias" in checkpoint]
        dense = [block for block in range(self.depth) if block not in moe]
        if not moe or not dense:
            raise CheckpointError(
                f"{checkpoint.label}: l1_htoh4_bias and l0_fc1_bias are needed: experts and dense MLPs"
            )
        self.moe, self.dense = tuple(moe), tuple(dense)
        self.mlp_hidden = self._count(f"l{dense[0]}_fc1_bias")
        pattern = re.compile(rf"l{moe[0]}_w_gate_T_task\d+")
        self.gates = sum(pattern.fullmatch(name) is not None for name in checkpoint.names)
        self.experts = self._divided(f"l{moe[0]}_h4toh_bias", self.dim)
        self.expert_hidden = self._divided(f"l{moe[0]}_htoh4_bias", self.experts)

    def _count(self, name: str) -> int:
        return int(np.prod(self.checkpoint.shape(name)))

    def _divided(self, name: str, by: int) -> int:
        count, rest = divmod(self._count(name), by)
        if rest or not count:
            raise CheckpointError(
                f"{self.checkpoint.label}: {name} has {self._count(name)} values, not a multiple of {by}; truncated?"
            )
        return count

    def _depth(self) -> int:
        found = (re.fullmatch(r"l(\d+)_norm1_weight", name) for name in self.checkpoint.names)
        blocks = {int(match[1]) for match in found if match}
        missing = sorted(set(range(len(blocks) or 1)) - blocks)
        if missing:
            raise CheckpointError(f"{self.checkpoint.label}: l{missing[0]}_norm1_weight is missing")
        return len(blocks)

    def _bias(self, from_: str, shape: tuple[int, ...]) -> FloatArray:
        return self.checkpoint.take(f"{from_}_bias", shape)

    def _linear(self, from_: str, to: str, out: int, inputs: int) -> dict[str, FloatArray]:
        weight = self.checkpoint.weight(f"{from_}_weight", (out, inputs))
        return {f"{to}.weight": weight, f"{to}.bias": self._bias(from_, (out,))}

    def patch_embed(self) -> tuple[FloatArray, FloatArray]:
        """Weight [dim, channels, y, x] and bias."""
        shape = (self.dim, CHANNELS, self.patch, self.patch)
        weight = self.checkpoint.weight("patch_embed_weight", shape, axes=(1, 2, 3))
        return weight, self._bias("patch_embed", (self.dim,))

    def attention(self, block: int) -> dict[str, FloatArray]:
        """LayerNorms and projections of one block."""
        at, from_, dim = f"blocks.{block}", f"l{block}", self.dim
        arrays: dict[str, FloatArray] = {}
        for norm in ("norm1", "norm2"):
            arrays[f"{at}.{norm}.weight"] = self.checkpoint.gamma(f"{from_}_{norm}_weight", dim)
            arrays[f"{at}.{norm}.bias"] = self._bias(f"{from_}_{norm}", (dim,))
        stacked = self.checkpoint.weight(f"{from_}_qkv_weight", (3 * dim, dim))
        arrays |= split_qkv(at, stacked, self._bias(f"{from_}_qkv", (3 * dim,)))
        return arrays | self._linear(f"{from_}_attn_proj", f"{at}.proj", dim, dim)

    def mlp(self, block: int) -> dict[str, FloatArray]:
        """The two layers of a dense block."""
        at, from_ = f"blocks.{block}", f"l{block}"
        first = self._linear(f"{from_}_fc1", f"{at}.fc1", self.mlp_hidden, self.dim)
        return first | self._linear(f"{from_}_fc2", f"{at}.fc2", self.dim, self.mlp_hidden)

    def gates_of(self, block: int, tasks: tuple[str, ...]) -> dict[str, FloatArray]:
        """The gate of every task."""
        shape = (self.experts, self.dim)
        return {
            f"blocks.{block}.gate.{task}.weight": self.checkpoint.weight(f"l{block}_w_gate_T_task{index}", shape)
            for index, task in enumerate(tasks)
        }

    def experts_of(self, block: int) -> dict[str, FloatArray]:
        """Biases of the experts, and their matrices if they are there."""
        at, from_, lead = f"blocks.{block}.experts", f"l{block}", (self.experts,)
        arrays = {
            f"{at}.fc1.bias": self._bias(f"{from_}_htoh4", (*lead, self.expert_hidden)),
            f"{at}.fc2.bias": self._bias(f"{from_}_h4toh", (*lead, self.dim)),
        }
        if f"{from_}_htoh4_weight" in self.checkpoint:
            shapes = (*lead, self.expert_hidden, self.dim), (*lead, self.dim, self.expert_hidden)
            arrays[f"{at}.fc1.weight"] = self.checkpoint.weight(f"{from_}_htoh4_weight", shapes[0])
            arrays[f"{at}.fc2.weight"] = self.checkpoint.weight(f"{from_}_h4toh_weight", shapes[1])
        return arrays


def _missing_matrices(reader: _EdgeReader, options: ImportOptions) -> list[int]:
    """MoE blocks without expert matrices; an error unless stand-ins are wanted."""
    names = [f"l{block}_{layer}_weight" for block in reader.moe for layer in ("htoh4", "h4toh")]
    missing = [name for name in names if name not in reader.checkpoint]
    if missing and not options.stand_in_experts:
        raise CheckpointError(
            f"{reader.checkpoint.label}: the expert matrices {', '.join(missing)} are missing; --stand-in-experts puts"
            " halves of the dense MLPs in their place, for tests of the machine but not of the predictions"
        )
    if options.stand_in_experts and not missing:
        raise CheckpointError("--stand-in-experts: no expert matrix is missing; leave the option out")
    return sorted({int(name[1 : name.index("_")]) for name in missing})


def _stand_ins(reader: _EdgeReader, blocks: list[int], arrays: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Matrices for the experts of ``blocks``: halves of the dense MLPs, in turn; every block begins with another."""
    if reader.mlp_hidden != 2 * reader.expert_hidden:
        raise CheckpointError(
            f"--stand-in-experts: an expert has {reader.expert_hidden} hidden units, not half of a dense MLP's"
            f" {reader.mlp_hidden}"
        )
    halves = [half for block in reader.dense for half in _halves(arrays, block)]
    found: dict[str, FloatArray] = {}
    for block in blocks:
        chosen = [halves[(block + expert) % len(halves)] for expert in range(reader.experts)]
        for index, layer in enumerate(("fc1", "fc2")):
            found[f"blocks.{block}.experts.{layer}.weight"] = np.stack([pair[index] for pair in chosen])
    return found


def _halves(arrays: dict[str, FloatArray], block: int) -> list[tuple[FloatArray, FloatArray]]:
    first, second = arrays[f"blocks.{block}.fc1.weight"], arrays[f"blocks.{block}.fc2.weight"]
    return list(zip(np.split(first, 2, axis=0), np.split(second, 2, axis=1), strict=True))


def _image_size(reader: _EdgeReader, options: ImportOptions) -> tuple[int, int]:
    """As given, or that of the image beside the weights, or the published one where it fits."""
    patches = reader.tokens - 1
    shape = reader.checkpoint.shape("image") if "image" in reader.checkpoint else ()
    found = options.image_size or (shape[1:] if len(shape) == 3 else PUBLISHED_IMAGE)
    fits = (found[0] // reader.patch) * (found[1] // reader.patch) == patches
    wanted = (found[0], found[1]) if fits or options.image_size else None
    given = ImportOptions(name=options.name, image_size=wanted)
    return image_size_of(given, patches, reader.patch)


def import_edge_moe(checkpoint: Checkpoint, options: ImportOptions) -> Imported:
    """The float model of Edge-MoE's files; CheckpointError names what is missing or does not fit."""
    notes: list[str] = []
    reader = _EdgeReader(checkpoint)
    tasks = task_names(options.tasks, reader.gates)
    missing = _missing_matrices(reader, options)
    arrays: dict[str, FloatArray] = {}
    pixels = PixelRule(mean=(0.0,), std=(1.0,), full=PIXEL_FULL)
    weight, bias = fold_pixels(*reader.patch_embed(), pixels.mean, pixels.std, pixels.full)
    arrays["patch_embed.weight"], arrays["patch_embed.bias"] = weight, bias
    arrays["class_token"] = np.zeros(reader.dim, dtype=np.float32)
    arrays["position"] = checkpoint.take("pos_embed", (reader.tokens, reader.dim))
    for block in range(reader.depth):
        arrays |= reader.attention(block)
        if block in reader.moe:
            arrays |= reader.gates_of(block, tasks) | reader.experts_of(block)
        else:
            arrays |= reader.mlp(block)
    facts: dict[str, Any] = {"pixels": "k / 256"}
    if missing:
        arrays |= _stand_ins(reader, missing, arrays)
        facts["stand_in_experts"] = {
            "blocks": missing,
            "rule": "expert e of block b has the matrices of half (b + e) modulo their number of the dense MLPs,"
            " lower blocks and first halves first; gates and expert biases are the published ones",
        }
        notes.append(f"STAND-IN EXPERTS in blocks {missing}: halves of the dense MLPs; predictions mean nothing")
    for name in checkpoint.unused:
        if re.fullmatch(_NOT_WEIGHTS, name):
            checkpoint.drop(name)
            notes.append(f"{name}: test data, not imported")
    refuse_unused(checkpoint)
    kinds, heads = feature_heads(tasks, reader.dim, {}, notes)
    config = replace(
        backbone_config(options, reader, _image_size(reader, options), kinds),
        moe_blocks=reader.moe,
        experts=reader.experts,
        top_k=top_k_of(options, reader.experts, PUBLISHED_TOP_K, notes),
        expert_hidden=reader.expert_hidden,
    )
    return Imported(
        config=config,
        arrays=arrays | heads,
        notes=tuple(notes),
        function=function_of(config, options, pixels, qkv_bias=True, layer_scales=0, said={}),
        pixels=pixels,
        facts=facts,
    )
