"""The part that the checkpoints of timm and of M3ViT share: timm's names of a vision transformer."""

import re

import numpy as np

from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.imported import Refusals, split_qkv
from hwgen.frontend.scaling import FloatArray

REFUSED: Refusals = (
    (r"(\w+\.)?embeddings\.position_embeddings", "this is a name of transformers: hwgen import hf reads such files"),
    (r"layers\..*|stages\..*", "windowed and staged transformers (Swin and the like) are not supported"),
    (r".*patch_embed\.backbone\..*", "hybrid patch embeddings (a CNN before the transformer) are not supported"),
    (r".*patch_embed\.norm\..*|.*norm_pre\..*", "a LayerNorm before the first block is not supported"),
    (r".*\.attn\.(q_norm|k_norm)\..*", "normalisation of queries and keys is not supported"),
    (r".*\.attn\.rel_pos.*|.*relative_position.*", "relative position biases are not supported; only pos_embed is"),
    (r".*\.mlp\.(fc1_g|fc1_x|w12|w3|norm)\..*", "gated and normalised MLPs are not supported; only fc1, GELU, fc2"),
    (r".*pre_logits\..*", "a pre_logits layer (linear, tanh) is not supported"),
)


_BIASES = ("attn.proj.bias", "mlp.fc1.bias", "mlp.fc2.bias")  # a network has all of them, or none


class VitReader:
    """Reads the layers that follow timm's names, below ``prefix``."""

    def __init__(self, checkpoint: Checkpoint, prefix: str = "") -> None:
        self.checkpoint = checkpoint
        self.prefix = prefix
        name = f"{prefix}patch_embed.proj.weight"
        shape = checkpoint.shape(name)
        if len(shape) != 4 or shape[2] != shape[3] or shape[1] != 3:
            raise CheckpointError(
                f"{checkpoint.label}: {checkpoint.original(name)} has shape {list(shape)}, expected"
                " [dim, 3, patch, patch]: a convolution over square patches of colour images"
            )
        self.dim, self.channels, self.patch, _ = shape
        self.depth = self._depth()
        hidden = f"{prefix}blocks.0.mlp.fc1.weight"
        self.mlp_hidden = checkpoint.shape(hidden)[0]
        self.layer_scales = 0  # LayerScales that have been folded
        self.qkv_bias = f"{prefix}blocks.0.attn.qkv.bias" in checkpoint
        self.biases = any(
            name.endswith(("attn.proj.bias", "mlp.fc1.bias", "mlp.fc2.bias")) for name in checkpoint.names
        )

    def _depth(self) -> int:
        pattern = re.compile(re.escape(self.prefix) + r"blocks\.(\d+)\.")
        blocks = {int(match[1]) for name in self.checkpoint.names if (match := pattern.match(name))}
        if not blocks:
            raise CheckpointError(f"{self.checkpoint.label}: {self.prefix}blocks.0 is missing")
        missing = sorted(set(range(len(blocks))) - blocks)
        if missing:
            raise CheckpointError(f"{self.checkpoint.label}: {self.prefix}blocks.{missing[0]} is missing")
        return len(blocks)

    def patch_embed(self) -> tuple[FloatArray, FloatArray]:
        """Weight [dim, channels, y, x] and bias."""
        name = f"{self.prefix}patch_embed.proj"
        shape = (self.dim, self.channels, self.patch, self.patch)
        return self.checkpoint.weight(f"{name}.weight", shape, axes=(1, 2, 3)), self._bias(name, self.dim)

    @property
    def position_rows(self) -> int:
        """Rows of the position embedding."""
        shape = self.checkpoint.shape(f"{self.prefix}pos_embed")
        return shape[1] if len(shape) == 3 else 0

    def position(self) -> FloatArray:
        """Position embedding [rows, dim]."""
        return self.checkpoint.take(f"{self.prefix}pos_embed", (1, self.position_rows, self.dim))[0]

    def token(self, name: str) -> FloatArray:
        """A learned token, [dim]."""
        return self.checkpoint.take(f"{self.prefix}{name}", (1, 1, self.dim)).reshape(self.dim)

    def attention(self, block: int) -> dict[str, FloatArray]:
        """LayerNorms, projections and output of one block; a stacked projection without bias gets zeros."""
        at, from_ = f"blocks.{block}", f"{self.prefix}blocks.{block}"
        arrays = self.norm(f"{from_}.norm1", f"{at}.norm1") | self.norm(f"{from_}.norm2", f"{at}.norm2")
        qkv, size = f"{from_}.attn.qkv", 3 * self.dim
        bias = self._bias(qkv, size) if f"{qkv}.bias" in self.checkpoint else np.zeros(size, dtype=np.float32)
        arrays |= split_qkv(at, self.checkpoint.weight(f"{qkv}.weight", (size, self.dim)), bias)
        proj = self.linear(f"{from_}.attn.proj", f"{at}.proj", self.dim, self.dim)
        return arrays | self._scaled(proj, f"{from_}.ls1.gamma", f"{from_}.gamma_1")

    def mlp(self, block: int) -> dict[str, FloatArray]:
        """The two layers of a dense block."""
        at, from_ = f"blocks.{block}", f"{self.prefix}blocks.{block}.mlp"
        first = self.linear(f"{from_}.fc1", f"{at}.fc1", self.mlp_hidden, self.dim)
        second = self.linear(f"{from_}.fc2", f"{at}.fc2", self.dim, self.mlp_hidden)
        block_at = from_.removesuffix(".mlp")
        return first | self._scaled(second, f"{block_at}.ls2.gamma", f"{block_at}.gamma_2")

    def _scaled(self, layer: dict[str, FloatArray], *names: str) -> dict[str, FloatArray]:
        """A linear layer with the LayerScale behind it folded in, where the checkpoint has one; exact."""
        for name in names:
            if name in self.checkpoint:
                gamma = self.checkpoint.take(name, (self.dim,)).astype(np.float64)
                self.layer_scales += 1
                return {key: (array.T * gamma).T.astype(np.float32) for key, array in layer.items()}
        return layer

    def norm(self, from_: str, to: str) -> dict[str, FloatArray]:
        """Weight and bias of a LayerNorm."""
        return {f"{to}.weight": self.checkpoint.gamma(f"{from_}.weight", self.dim), f"{to}.bias": self._bias(from_)}

    def linear(self, from_: str, to: str, out: int, inputs: int) -> dict[str, FloatArray]:
        """Weight and bias of a linear layer; zeros where no block of the network has biases."""
        weight = self.checkpoint.weight(f"{from_}.weight", (out, inputs))
        without = "blocks." in from_ and not self.biases
        bias = np.zeros(out, dtype=np.float32) if without else self._bias(from_, out)
        return {f"{to}.weight": weight, f"{to}.bias": bias}

    def _bias(self, from_: str, size: int | None = None) -> FloatArray:
        return self.checkpoint.take(f"{from_}.bias", (size or self.dim,))
