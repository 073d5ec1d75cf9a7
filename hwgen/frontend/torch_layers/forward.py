"""A batch of images on its way through the layers of a network."""

# pyright: basic
# (torch is only partly typed)

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from hwgen.spec.graph import Network
from hwgen.spec.layers import Rows


@dataclass(kw_only=True)
class Forward:
    """What the layers so far have left: every tensor by name, [batch, rows, columns]."""

    arrays: Mapping[str, Tensor]
    network: Network
    task: str
    pixels: Tensor  # codes 0..255 [batch, height, width, channels]
    training: bool
    gate_noise: float  # standard deviation of the noise on gate logits; in training only
    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    looked: dict[str, Tensor] = field(default_factory=dict[str, Tensor])  # scores -> how much the first query looks at
    # every key, the mean over heads [batch, keys], where a selection asks for it
    balances: list[Tensor] = field(default_factory=list[Tensor])  # load-balancing loss of every gate; in training only

    def rows(self, rows: Rows) -> Tensor:
        """Rows of a tensor that a layer before has left."""
        end = None if rows.count is None else rows.first + rows.count
        return self.tensors[rows.tensor][:, rows.first : end]
