"""What every layer of a network declares: what it reads, which tensors it leaves, and its arrays in a package."""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Self

from hwgen.spec.array_kinds import Specs
from hwgen.spec.limits import Limits, refuse
from hwgen.spec.shown import shown

_MOST = 65_536  # of anything that a layer counts
Count = Annotated[int, Limits(1, _MOST)]
CountOrNone = Annotated[int, Limits(0, _MOST)]
Epsilon = Annotated[float, Limits(0.0, 0.1)]
EPSILON = 1e-6  # of a LayerNorm that does not say another

Floats = dict[str, tuple[int, ...]]  # name -> shape of arrays of a float model


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A named tensor of a network: what golden, float model and machine are compared by."""

    name: str
    shape: tuple[int, ...]  # [rows, columns]; scores [heads, queries, keys]; lengths of queues [experts]
    heads: int | None = None  # whose columns the machine pads to whole words, each; None: a row is padded as a whole
    squares: tuple[int, int] | None = None  # sides: columns are squares, and the host pads each to a larger one

    @property
    def rows(self) -> int:
        """Rows: tokens, or patches."""
        return self.shape[-2] if len(self.shape) > 1 else 1

    @property
    def groups(self) -> int:
        """Runs of columns that begin with a word."""
        return self.heads or 1

    @property
    def columns(self) -> int:
        """Values of a row."""
        return self.shape[-1]

    @property
    def padded_columns(self) -> int:
        """Values of a row in the machine, before it is padded to whole words or heads."""
        side, padded = self.squares or (1, 1)
        return self.columns // side**2 * padded**2


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Some rows of a tensor, one after the other: the only way to name a part."""

    tensor: str
    first: int = 0
    count: int | None = None  # None: all from the first one on


def check_heads(name: str, columns: int, heads: int | None) -> None:
    """ValueError unless the columns of layer ``name`` are a whole number of heads; None: they are no heads."""
    if heads is not None and (heads < 1 or columns % heads):
        raise ValueError(f"{name}: {columns} columns are not a multiple of heads {heads}")


@dataclass(frozen=True, kw_only=True)
class Layer(ABC):
    """One step of a network, at the grain of instructions.

    ``name`` is the prefix of its arrays and ``writes`` the tensor that it leaves; both walks of a network with several
    tasks may leave tensors of the same name. ``task``: only this task runs it; None: every task.
    """

    name: str
    writes: str
    task: str | None = None

    def __post_init__(self) -> None:
        """Refuse sizes that nothing could have, and names that no file could hold."""
        for name in (self.name, self.writes):
            if not re.fullmatch(r"[\w.-]+", name):
                raise ValueError(f"name {shown(name)}: give letters, digits, dots, dashes and underscores")
        refuse(self, self.name)

    @abstractmethod
    def reads(self) -> tuple[Rows, ...]:
        """The rows that it needs, those that it updates in place included."""

    @abstractmethod
    def wants(self) -> Mapping[Rows, tuple[int, int]]:
        """What it reads -> how many rows and columns it counts on."""

    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that it leaves, ``writes`` among them."""

    def with_formats(self, narrow: Collection[str]) -> Self:
        """The same with four-bit weights in the linear layers of these names, and eight bits in its others."""
        return self

    def updates(self) -> Rows | None:
        """Rows of a residual stream that it changes in place; nothing reads the stream as it was before."""
        return None

    def inner(self) -> tuple[str, ...]:
        """Names of what it keeps for itself, which are no tensors."""
        return ()

    def zero_points(self) -> Mapping[str, str]:
        """Tensor of codes whose value 0 need not be code 0 -> array of that code."""
        return {}

    @abstractmethod
    def arrays(self) -> Specs:
        """Name -> shape, type and range of its arrays."""

    @abstractmethod
    def floats(self) -> Floats:
        """Name -> shape of its arrays in a float model."""
