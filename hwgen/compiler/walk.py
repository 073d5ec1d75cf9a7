"""What one task runs on one machine: its layers, and their tensors in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from hwgen.compiler.parts import WHOLE, Parts
from hwgen.spec.arch import ArchConfig
from hwgen.spec.graph import Network
from hwgen.spec.layers import Layer, Linear, Rows, Select, Tensor


@dataclass(frozen=True, kw_only=True)
class Walk:
    """The layers of a task, and how many words of the machine their rows take."""

    network: Network
    task: str
    arch: ArchConfig
    parts: Parts = WHOLE
    # rows that the layer of this name, and the one behind it, take at a time; others take all of theirs
    blocks: Mapping[str, tuple[range, ...]] = field(default_factory=dict[str, tuple[range, ...]])

    def __hash__(self) -> int:
        """As the blocks, a mapping, have none."""
        return hash((self.network, self.task, self.arch, self.parts, tuple(self.blocks)))

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """In the order of the machine."""
        return tuple(self.network.walk(self.task))

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """By name."""
        return self.network.tensors(self.task)

    def writer(self, tensor: str) -> Layer:
        """The layer that leaves a tensor."""
        return self.network.writer(tensor, self.task)

    def readers(self, tensor: str) -> list[Layer]:
        """The layers that read any of a tensor, in order."""
        return self.network.readers(tensor, self.task)

    def group_words(self, tensor: Tensor) -> int:
        """Words of one group of columns: heads are padded to whole words."""
        return self.arch.words(tensor.padded_columns // tensor.groups)

    def row_words(self, tensor: Tensor) -> int:
        """Words of a row."""
        return tensor.groups * self.group_words(tensor)

    def chunks(self, tensor: Tensor, beside: int = 1) -> int:
        """Input chunks of a row that a LINEAR reads, or of some side by side; padding between heads and rows counts."""
        if tensor.heads is not None or beside > 1:
            return self.row_words(tensor) * self.arch.subwords * beside
        return self.arch.chunks(tensor.padded_columns)

    def held_rows(self, layer: Linear) -> int:
        """Rows that a linear layer leaves before its reader takes them: all, or those of a block."""
        return max((len(block) for block in self.blocks.get(layer.name, ())), default=layer.rows)

    def rows_at_once(self, layer: Linear) -> int:
        """Most rows of an instruction of a linear layer: it may be the first or the second of a pair in blocks."""
        before = self.writer(layer.source.tensor)
        held = self.held_rows(before) if isinstance(before, Linear) and before.name in self.blocks else layer.rows
        return min(layer.rows, held, self.held_rows(layer))

    def begins(self, stream: str) -> str:
        """The tensor with which a residual stream of so many rows begins: it is then only added to."""
        layer = self.writer(stream)
        into = layer.updates()
        return stream if into is None else self.begins(into.tensor)

    def spare_rows(self, stream: str) -> int:
        """Rows behind those of a residual stream: one, if what a selection drops is summed there."""
        fusing = [layer.source.tensor for layer in self.layers if isinstance(layer, Select) and layer.fuse]
        return int(any(self.begins(source) == self.begins(stream) for source in fusing))

    def is_part(self, rows: Rows) -> bool:
        """Whether these are not all rows of their tensor."""
        whole = self.tensors[rows.tensor].rows
        return (rows.first, rows.count or whole - rows.first) != (0, whole)

    def demanded(self, tensor: str) -> tuple[int, int]:
        """First row and number of rows of a tensor that any later layer reads."""
        whole = self.tensors[tensor].rows
        reads = [rows for layer in self.readers(tensor) for rows in layer.reads() if rows.tensor == tensor]
        wanted = [(rows.first, rows.count or whole - rows.first) for rows in reads]
        first = min(start for start, _ in wanted)
        return first, max(start + count for start, count in wanted) - first
