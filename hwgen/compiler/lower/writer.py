"""A program on its way: what the layers lowered so far have left behind, and where."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hwgen.compiler.counters import LONGEST_WAIT, Progress, Span
from hwgen.compiler.errors import CompileError
from hwgen.compiler.listing import Produced
from hwgen.compiler.places import Place
from hwgen.compiler.step import Step
from hwgen.compiler.streams import Stream
from hwgen.compiler.walk import Walk
from hwgen.spec.array_kinds import zero_array
from hwgen.spec.isa import Destination, Opcode
from hwgen.spec.layers import Tensor

Scalars = Callable[[str], Sequence[int]]  # name of a small package array -> its integers


@dataclass
class Writer:
    """Instructions of one task; ``spans`` holds the progress of every tensor's rows."""

    walk: Walk
    places: dict[str, Place]  # its own: those of rows that come in blocks move with the block
    scalars: Scalars
    offsets: Mapping[str, int]  # tables.* and position tables: byte offsets from MODEL
    steps: list[Step] = field(default_factory=list[Step])
    progress: Progress = field(default_factory=Progress)
    spans: dict[str, Span] = field(default_factory=dict[str, Span])

    def __post_init__(self) -> None:
        """Give every layer what it asks for most."""
        self.arch = self.walk.arch
        self.tensors = self.walk.tensors

    def emit(
        self,
        opcode: Opcode,
        name: str,
        fields: Mapping[str, int],
        streams: tuple[Stream, ...] = (),
        macs: int = 0,
        produced: tuple[Produced, ...] = (),
        chosen: int = 0,
    ) -> None:
        """One more instruction; weights for it are loaded before it, parameters and tiles in the order of streams."""
        plain = {key: int(value) for key, value in fields.items()}
        self.steps.append(
            Step(
                opcode=opcode,
                name=name,
                fields=plain,
                streams=streams,
                macs=macs,
                produced=produced,
                chosen=chosen,
            )
        )

    def scalar(self, name: str, index: int = 0) -> int:
        """One value of a small array of the package."""
        return int(self.scalars(name)[index])

    def hidden_codes(self, layer: str) -> dict[str, int]:
        """Fields of an instruction that make codes of what GELU leaves; a zero point of 0 needs none."""
        zero = self.scalar(zero_array(layer))
        scale = {part: self.scalar(f"{layer}.{part}") for part in ("gelu_mult", "gelu_shift")}
        return scale | ({"zero": zero} if zero else {})

    def by_row(self, tensor: str, first: int = 0) -> dict[str, int]:
        """The wait for rows of a tensor, one by one, from ``first`` on."""
        return self._recent(tensor).row_by_row(first)

    def complete(self, tensor: str) -> dict[str, int]:
        """The wait for every row of a tensor."""
        return self._recent(tensor).complete()

    def _recent(self, tensor: str) -> Span:
        """The rows of a tensor; CompileError when so many were counted since that a wait would not see them."""
        span = self.spans[tensor]
        counted = self.progress.values[span.counter] - span.base
        if counted > LONGEST_WAIT:
            raise CompileError(
                f"{tensor} is read when {counted:,} rows of {span.counter.name} have been counted since it was begun;"
                f" waits reach back {LONGEST_WAIT:,}"
            )
        return span

    def hold(self, tensor: str, rows: range) -> None:
        """From now on these rows of a tensor lie at its place."""
        self.places[tensor] = replace(self.places[tensor], first=rows.start, rows=len(rows))

    def produced(
        self,
        tensor: Tensor,
        destination: Destination | None,
        first: int = 0,
        rows: int | None = None,
        words: range | None = None,
    ) -> Produced:
        """Rows of a tensor, from ``first`` on, as an instruction writes them; no destination: a LayerNorm's.

        ``words`` of a row: all, some whole groups, or some within a group.
        """
        every, values = self.walk.group_words(tensor), tensor.columns // tensor.groups
        written = range(self.walk.row_words(tensor)) if words is None else words
        group, skipped = divmod(written.start, every)
        groups, rest = divmod(len(written), every)
        inside = skipped > 0 or rest > 0
        start, stop = (min(word * self.arch.output_lanes, values) for word in (skipped, skipped + len(written)))
        return Produced(
            tensor=tensor.name,
            channel="norm" if destination is None else "post",
            destination=destination,
            shape=tensor.shape,
            rows=tensor.rows - first if rows is None else rows,
            row_offset=first,
            column_offset=group * values + start,
            groups=1 if inside else groups,
            group_values=stop - start if inside else values,
            group_words=len(written) if inside else every,
        )
