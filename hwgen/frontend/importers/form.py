"""What a vision transformer computes beyond the sizes of its arrays: one vocabulary for every way to find it out.

A live module, timm's ``config.json``, names of arrays and an ONNX graph all end in a `Form`, or in a refusal that
names the entry, attribute, array or node that says otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hwgen.frontend.importers.resize import TIMM, Resizing
from hwgen.spec.activations import Activation
from hwgen.spec.constructors import CLASS_TOKENS, ClassToken, Pooling
from hwgen.spec.layers import EPSILON


@dataclass(frozen=True, kw_only=True)
class Said:
    """A value, and the entry, attribute or array that has it."""

    value: Any
    where: str


@dataclass(frozen=True, kw_only=True)
class Form:
    """The parts of a network that arrays do not show, or show by their names only; the default is a plain ViT."""

    activation: Activation = "gelu"
    epsilon: float = EPSILON  # of every LayerNorm
    class_token: ClassToken = "learned"
    registers: int = 0  # tokens between class tokens and patches
    pool: Pooling = "token"
    position: bool = True  # whether anything is added to the tokens
    prefix_position: bool = True  # whether that has rows for class tokens and registers
    resizing: Resizing = TIMM  # of the position embedding, for images of another size
    sources: Mapping[str, str] = field(default_factory=dict[str, str])  # part of the function -> who says so

    @property
    def prefix(self) -> int:
        """Tokens in front of the patches."""
        return CLASS_TOKENS[self.class_token] + self.registers
