"""A program on its way: what the layers lowered so far have left behind, and where."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hwgen.compiler.allocate import Buffers, Region
from hwgen.compiler.counters import Progress, Span
from hwgen.compiler.listing import Produced
from hwgen.compiler.shapes import Shapes
from hwgen.compiler.step import Step
from hwgen.compiler.streams import Stream
from hwgen.spec.graph import Network
from hwgen.spec.isa import Destination, Opcode, Source
from hwgen.spec.layers import Attention, Gelu, Layer, Linear, Norm, Patches, Rows, Tensor

Scalars = Callable[[str], Sequence[int]]  # name of a small package array -> its integers


@dataclass(frozen=True, kw_only=True)
class Place:
    """Rows in a buffer that a LINEAR can read."""

    source: Source
    base: int  # word address of the first row that was made
    stride: int
    skipped: int  # rows that were made before the first one that is read

    def fields(self) -> dict[str, int]:
        """Of a LINEAR."""
        base = self.base + self.skipped * self.stride
        return {"source": self.source, "src_base": base, "src_stride": self.stride}


@dataclass
class Writer:
    """Instructions of one task; ``spans`` holds the progress of every tensor's rows."""

    shapes: Shapes
    buffers: Buffers
    network: Network
    task: str
    scalars: Scalars
    offsets: Mapping[str, int]  # tables.* and position: byte offsets from MODEL
    steps: list[Step] = field(default_factory=list[Step])
    progress: Progress = field(default_factory=Progress)
    spans: dict[str, Span] = field(default_factory=dict[str, Span])

    def __post_init__(self) -> None:
        """Derive what every layer uses."""
        self.arch = self.shapes.arch
        self.tensors = self.network.tensors(self.task)

    def emit(
        self,
        opcode: Opcode,
        name: str,
        fields: Mapping[str, int],
        streams: tuple[Stream, ...] = (),
        macs: int = 0,
        produced: tuple[Produced, ...] = (),
    ) -> None:
        """One more instruction; weights for it are loaded before it, parameters and tiles in the order of streams."""
        plain = {key: int(value) for key, value in fields.items()}
        self.steps.append(Step(opcode=opcode, name=name, fields=plain, streams=streams, macs=macs, produced=produced))

    def scalar(self, name: str, index: int = 0) -> int:
        """One value of a small array of the package."""
        return int(self.scalars(name)[index])

    # --- words --------------------------------------------------------------------------------------------------

    def group_words(self, tensor: Tensor) -> int:
        """Words of one group of columns: heads are padded to whole words."""
        return self.arch.words(tensor.columns // tensor.groups)

    def row_words(self, tensor: Tensor) -> int:
        """Words of a row."""
        return tensor.groups * self.group_words(tensor)

    def produced(
        self, tensor: Tensor, destination: Destination | None, first: int = 0, rows: int | None = None
    ) -> Produced:
        """Rows of a tensor, from ``first`` on, as an instruction writes them; no destination: a LayerNorm's."""
        return Produced(
            tensor=tensor.name,
            channel="norm" if destination is None else "post",
            destination=destination,
            shape=tensor.shape,
            rows=tensor.rows - first if rows is None else rows,
            row_offset=first,
            groups=tensor.groups,
            group_values=tensor.columns // tensor.groups,
            group_words=self.group_words(tensor),
        )

    def demanded(self, tensor: str) -> tuple[int, int]:
        """First row and number of rows of a tensor that any later layer reads."""
        whole = self.tensors[tensor].rows
        reads = [rows for layer in self.network.readers(tensor, self.task) for rows in layer.reads()]
        wanted = [(rows.first, rows.count or whole - rows.first) for rows in reads if rows.tensor == tensor]
        first = min(start for start, _ in wanted)
        return first, max(start + count for start, count in wanted) - first

    # --- places -------------------------------------------------------------------------------------------------

    def residual_target(self, tensor: Tensor, first: int = 0) -> dict[str, int]:
        """Rows of the residual stream from ``first`` on."""
        stride = self.row_words(tensor)
        return {"destination": Destination.RESIDUAL, "dst_base": first * stride, "dst_stride": stride}

    def place(self, rows: Rows) -> Place:
        """Where rows lie that a LINEAR or EXPERTS reads, by the layer that has left them."""
        maker = self.network.writer(rows.tensor, self.task)
        if isinstance(maker, Norm):
            made = self.demanded(rows.tensor)[0]  # the first row that anybody reads lies first in the norm buffer
            stride = self.row_words(self.tensors[rows.tensor])
            return Place(source=Source.NORM, base=0, stride=stride, skipped=rows.first - made)
        region = self._region(maker, rows.tensor)
        return Place(source=Source.ACTIVATION, base=region.base, stride=region.stride, skipped=rows.first)

    def _region(self, maker: Layer, tensor: str) -> Region:
        """Where in the activation buffer a layer has left its rows; ValueError for rows that no LINEAR can read."""
        if isinstance(maker, Patches):
            return self.buffers.patches
        if isinstance(maker, Attention) and tensor == maker.writes:
            return self.buffers.context
        if isinstance(maker, Linear) and isinstance(maker.finish, Gelu):
            return self.buffers.hidden
        raise ValueError(f"{maker.name}: leaves {tensor} where no linear layer can read it")


def target(region: Region) -> dict[str, int]:
    """A region as where an instruction writes."""
    return {"dst_base": region.base, "dst_stride": region.stride}
