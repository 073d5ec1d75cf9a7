"""Sizes of one network on one machine, in words, chunks and tiles."""

from dataclasses import dataclass

from hwgen.spec.arch import ArchConfig
from hwgen.spec.model import ModelConfig


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Everything that follows from a network and a machine before any address is chosen."""

    config: ModelConfig
    arch: ArchConfig

    @property
    def dim_words(self) -> int:
        """Words of a residual or norm row."""
        return self.arch.words(self.config.dim)

    @property
    def head_words(self) -> int:
        """Words of one head in a row of query, key, value or context."""
        return self.arch.words(self.config.head_dim)

    @property
    def attention_words(self) -> int:
        """Words of a row of query, key, value or context: every head padded to whole words."""
        return self.config.heads * self.head_words

    @property
    def attention_values(self) -> int:
        """Values of such a row, padding included."""
        return self.attention_words * self.arch.output_lanes

    @property
    def patch_words(self) -> int:
        """Words of one patch."""
        return self.arch.words(self.config.patch_values)

    @property
    def key_tiles(self) -> int:
        """Words of a row of scores."""
        return self.arch.words(self.config.tokens)

    @property
    def has_dense(self) -> bool:
        """Whether any block has a dense MLP."""
        return len(self.config.moe_blocks) < self.config.depth
