"""Names of arrays in transformers' vision transformers, and the same arrays under timm's names.

transformers saves the names of its version 4 (``encoder.layer.0.attention.attention.query``); the state_dict of a
module of version 5 has others (``layers.0.attention.q_proj``). Both are read.
"""

import re

import numpy as np

from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.imported import refuse_unused

Names = dict[str, tuple[str, ...]]  # timm's name -> transformers' names, the one that is saved first

_TOKENS: Names = {"cls_token": ("embeddings.cls_token",), "pos_embed": ("embeddings.position_embeddings",)}
_REGISTERS, _DISTILLATION = "embeddings.register_tokens", "embeddings.distillation_token"
_FRONT_LAYERS: Names = {"patch_embed.proj": ("embeddings.patch_embeddings.projection",), "norm": ("layernorm",)}
_BLOCKS = ("encoder.layer", "layers")
_BLOCK_LAYERS: Names = {
    "norm1": ("layernorm_before", "norm1"),
    "norm2": ("layernorm_after", "norm2"),
    "attn.proj": ("attention.output.dense", "attention.o_proj"),
    "mlp.fc1": ("intermediate.dense", "mlp.fc1"),
    "mlp.fc2": ("output.dense", "mlp.fc2"),
}
_QUERY_KEY_VALUE = (  # the parts of attn.qkv
    ("attention.attention.query", "attention.q_proj"),
    ("attention.attention.key", "attention.k_proj"),
    ("attention.attention.value", "attention.v_proj"),
)
_SCALES: Names = {"ls1.gamma": ("layer_scale1.lambda1",), "ls2.gamma": ("layer_scale2.lambda1",)}
# Heads, which lie beside the backbone and not below its name.
CLASSIFIER, TEACHER = "classifier", "distillation_classifier"
HEADS: Names = {"head": (CLASSIFIER, "cls_classifier"), "head_dist": (TEACHER,)}
# Left out: start of a name -> what it is.
_LEFT_OUT = {
    "pooler.dense.": "the pooler (linear, tanh), which is no part of the network: its input is the class token",
    "embeddings.mask_token": "mask_token, which stands for hidden patches in training",
}


def heads_in(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Names of the heads that a checkpoint has."""
    return tuple(name for names in HEADS.values() for name in names if f"{name}.weight" in checkpoint)


class _Translation:
    """Takes arrays by transformers' names and keeps them under timm's."""

    def __init__(self, checkpoint: Checkpoint, prefix: str) -> None:
        self.checkpoint = checkpoint
        below = f"{prefix}."
        self.prefix = below if any(name.startswith(below) for name in checkpoint.names) else ""
        self.arrays: dict[str, np.ndarray] = {}
        self.originals: dict[str, str] = {}

    def found(self, names: tuple[str, ...]) -> str:
        """The name that the checkpoint has, else the one to ask for."""
        return next((name for name in names if name in self.checkpoint), names[0])

    def move(self, to: str, *names: str) -> None:
        """An array that must be there."""
        name = self.found(names)
        self.arrays[to] = self.checkpoint.take(name, self.checkpoint.shape(name))
        self.originals[to] = name

    def layer(self, to: str, *names: str) -> None:
        """Weight and bias."""
        for part in ("weight", "bias"):
            self.move(f"{to}.{part}", *(f"{name}.{part}" for name in names))

    def stacked(self, to: str, block: tuple[str, ...], part: str) -> None:
        """Query, key and value one above the other."""
        names = [
            self.found(tuple(f"{at}.{name}.{part}" for at in block for name in parts)) for parts in _QUERY_KEY_VALUE
        ]
        shape = self.checkpoint.shape(names[0])
        self.arrays[to] = np.concatenate([self.checkpoint.take(name, shape) for name in names])
        self.originals[to] = f"query, key and value of {names[0]}"

    def block(self, index: int, *, biased: bool, scaled: bool) -> None:
        """One block; LayerScales where the network has them."""
        to, block = f"blocks.{index}", tuple(f"{self.prefix}{at}.{index}" for at in _BLOCKS)
        for layer, names in _BLOCK_LAYERS.items():
            self.layer(f"{to}.{layer}", *(f"{at}.{name}" for at in block for name in names))
        for part in ("weight", "bias") if biased else ("weight",):
            self.stacked(f"{to}.attn.qkv.{part}", block, part)
        for scale, names in _SCALES.items() if scaled else ():
            self.move(f"{to}.{scale}", *(f"{at}.{name}" for at in block for name in names))

    @property
    def depth(self) -> int:
        """Blocks up to the last one that has an array."""
        pattern = re.compile(re.escape(self.prefix) + rf"(?:{'|'.join(map(re.escape, _BLOCKS))})\.(\d+)\.")
        return max((int(match[1]) + 1 for name in self.checkpoint.names if (match := pattern.match(name))), default=1)

    @property
    def biased(self) -> bool:
        """Whether any query, key or value has a bias; all of them have one then."""
        ends = tuple(f".{name}.bias" for names in _QUERY_KEY_VALUE for name in names)
        return any(name.endswith(ends) for name in self.checkpoint.names)

    def front(self) -> None:
        """What lies in front of the blocks, and the last LayerNorm."""
        for to, names in _TOKENS.items():
            self.move(to, *(f"{self.prefix}{name}" for name in names))
        for to, names in _FRONT_LAYERS.items():
            self.layer(to, *(f"{self.prefix}{name}" for name in names))

    def heads(self) -> None:
        """What answers, if anything does."""
        for to, names in HEADS.items():
            if any(f"{name}.weight" in self.checkpoint for name in names):
                self.layer(to, *names)

    def more_tokens(self, notes: list[str]) -> None:
        """Registers, or the distillation token: a second class token if a head reads it, else one more register."""
        for name in (f"{self.prefix}{_REGISTERS}", f"{self.prefix}{_DISTILLATION}"):
            if name in self.checkpoint and self.checkpoint.shape(name)[1:2] != (0,):
                self.move("dist_token" if "head_dist.weight" in self.arrays else "reg_token", name)
            elif name in self.checkpoint:  # as many registers as none
                self.checkpoint.drop(name)
        if self.originals.get("reg_token", "").endswith(_DISTILLATION):
            notes.append("the distillation token, which no head reads, is a register")

    def class_position(self) -> None:
        """The position of the class token becomes part of it: registers, which have none, stand behind it."""
        token, position = self.arrays["cls_token"], self.arrays["pos_embed"]
        if position.ndim != 3 or token.shape != (1, 1, position.shape[2]):
            raise CheckpointError(
                f"{self.checkpoint.label}: {self.originals['cls_token']} and {self.originals['pos_embed']} have shapes"
                f" {list(token.shape)} and {list(position.shape)}, expected [1, 1, channels] and [1, rows, channels]"
            )
        self.arrays["cls_token"], self.arrays["pos_embed"] = token + position[:, :1], position[:, 1:]

    def leave_out(self, notes: list[str]) -> None:
        """Arrays that are no part of the network."""
        for start, what in _LEFT_OUT.items():
            names = [name for name in self.checkpoint.names if name.startswith(f"{self.prefix}{start}")]
            for name in names:
                self.checkpoint.drop(name)
            if names:
                notes.append(f"left out: {what}")


def in_timms_names(
    checkpoint: Checkpoint, prefix: str, *, scaled: bool, class_apart: bool, notes: list[str]
) -> Checkpoint:
    """The arrays of a checkpoint of transformers' under timm's names; CheckpointError names those that do not fit.

    prefix: what the backbone is called in a network with a head. scaled: whether blocks have LayerScales. class_apart:
    whether other tokens, without position, stand between the class token and the patches.
    """
    moved = _Translation(checkpoint, prefix)
    moved.front()
    for index in range(moved.depth):
        moved.block(index, biased=moved.biased, scaled=scaled)
    moved.heads()
    moved.more_tokens(notes)
    if class_apart:
        moved.class_position()
    moved.leave_out(notes)
    refuse_unused(checkpoint)
    return Checkpoint(
        checkpoint.label,
        moved.arrays,
        allow_dead=checkpoint.allow_dead,
        folder=checkpoint.folder,
        originals=moved.originals,
    )
