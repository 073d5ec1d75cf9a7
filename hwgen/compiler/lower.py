"""Network to instructions, one task: everything but the weight loads, which the schedule places."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hwgen.compiler.allocate import Buffers, Region
from hwgen.compiler.counters import Progress, Span
from hwgen.compiler.listing import Produced
from hwgen.compiler.shapes import Shapes
from hwgen.compiler.step import Step
from hwgen.compiler.streams import (
    Stream,
    expert_streams,
    head_stream,
    heads_stream,
    linear_stream,
    norm_stream,
    proj_stream,
)
from hwgen.compiler.tensors import Tensors
from hwgen.spec.arch import BEAT_BYTES
from hwgen.spec.destinations import DESTINATIONS
from hwgen.spec.isa import Counter, Destination, Opcode, Source
from hwgen.spec.layout import result_bytes
from hwgen.spec.model import TaskConfig
from hwgen.spec.tables import TABLES

Scalars = Callable[[str], Sequence[int]]  # name of a small package array -> its integers


def head_order(heads: int) -> Iterator[tuple[Opcode, int]]:
    """SCORES and CONTEXT of every head; the scores of the next head run before the context of this one."""
    yield Opcode.SCORES, 0
    for head in range(heads):
        if head + 1 < heads:
            yield Opcode.SCORES, head + 1
        yield Opcode.CONTEXT, head


@dataclass
class Lowering:
    """One program on its way; ``residual`` and ``normed`` are the spans that the next reader waits for."""

    shapes: Shapes
    buffers: Buffers
    task: TaskConfig
    scalars: Scalars
    offsets: Mapping[str, int]  # tables.* and position: byte offsets from MODEL
    steps: list[Step] = field(default_factory=list[Step])
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        """Derive what every step uses."""
        self.config, self.arch = self.shapes.config, self.shapes.arch
        self.tensors = Tensors(self.shapes)
        tokens, words = self.config.tokens, self.shapes.dim_words
        self.rows = {"base": 0, "stride": words}  # residual and norm buffer
        self.residual = Span(counter=Counter.RESIDUAL, base=0, rows=tokens)
        self.normed = Span(counter=Counter.NORM, base=0, rows=tokens)

    def program(self) -> list[Step]:
        """The instructions of one image."""
        self._inputs()
        for block in range(self.config.depth):
            at = f"blocks.{block}"
            self._attention(at)
            (self._moe if self.config.is_moe(block) else self._mlp)(at)
        self._head()
        self._emit(Opcode.END, "end", {})
        return self.steps

    def _emit(
        self,
        opcode: Opcode,
        name: str,
        fields: Mapping[str, int],
        streams: tuple[Stream, ...] = (),
        macs: int = 0,
        produced: tuple[Produced, ...] = (),
    ) -> None:
        plain = {key: int(value) for key, value in fields.items()}
        step = Step(opcode=opcode, name=name, fields=plain, streams=streams, macs=macs, produced=produced)
        self.steps.append(step)

    def _scalar(self, name: str, index: int = 0) -> int:
        return int(self.scalars(name)[index])

    def _norm_source(self) -> dict[str, int]:
        return {"source": Source.NORM, "src_base": 0, "src_stride": self.shapes.dim_words}

    def _residual_target(self, first: int = 0) -> dict[str, int]:
        stride = self.shapes.dim_words
        return {"destination": Destination.RESIDUAL, "dst_base": first * stride, "dst_stride": stride}

    # --- inputs -------------------------------------------------------------------------------------------------

    def _inputs(self) -> None:
        for table in TABLES:
            fields = {"offset": self.offsets[f"tables.{table.name}"], "table": table.index, "words": table.words}
            self._emit(Opcode.LOAD_TABLE, f"tables.{table.name}", fields)
        tokens = self.config.tokens
        position = {"offset": self.offsets["position"], "rows": tokens, "row_words": self.shapes.dim_words}
        self._emit(Opcode.LOAD_POSITION, "position", position)
        loaded = self.progress.finish(Counter.RESIDUAL, tokens)
        self._patch_embed(self._load_patches(), loaded)

    def _load_patches(self) -> Span:
        config = self.config
        fields = {
            "patch": config.patch,
            "patch_rows": config.patch_rows,
            "patch_columns": config.patch_columns,
            "channels": config.channels,
            "width": config.image_width,
            "plane_bytes": config.image_height * config.image_width,
            **_target(self.buffers.patches),
        }
        self._emit(Opcode.LOAD_PATCHES, "patches", fields)
        return self.progress.finish(Counter.PATCH, config.patches)

    def _patch_embed(self, patches: Span, position: Span) -> None:
        """Patch rows into residual rows 1 and up, on top of the position table."""
        config = self.config
        stream = linear_stream(self.shapes, "patch_embed", config.dim, config.patch_values)
        fields = {
            **patches.row_by_row(),
            **position.complete(),
            **_source(self.buffers.patches),
            **self._residual_target(first=1),
        }
        self._linear(stream, fields, config.patches, config.patch_values * config.dim, "patch_embed", first=1)
        self.residual = self.progress.finish(Counter.RESIDUAL, config.patches, first_row=1)

    def _linear(
        self, stream: Stream, fields: Mapping[str, int], rows: int, macs: int, tensor: str | None = None, first: int = 0
    ) -> None:
        """A LINEAR of one layer; ``macs`` per row; ``tensor``: the residual that it leaves."""
        layer = stream.layers[0]
        produced = (self.tensors.residual(tensor, first=first),) if tensor else self._products(stream.name)
        shape = {"rows": rows, "in_chunks": layer.in_chunks, "out_tiles": layer.out_tiles, "int4": layer.format.code}
        self._emit(Opcode.LINEAR, stream.name, {**fields, **shape}, (stream,), rows * macs, produced)

    def _products(self, name: str) -> tuple[Produced, ...]:
        """What a LINEAR called ``name`` writes elsewhere than into the residual."""
        at, _, last = name.rpartition(".")
        if at.endswith(".gate"):
            return self.tensors.gate(at.removesuffix(".gate"))
        if at == "heads":
            return (self.tensors.result(self.task),)
        if last == "fc1":
            return (self.tensors.hidden(f"{at}.hidden"),)
        return (self.tensors.heads(name, Destination[last.upper()]),)

    def _layernorm(self, name: str, first: int = 0, rows: int | None = None) -> None:
        """Normalise residual rows from ``first`` on into norm rows from 0 on."""
        rows = self.config.tokens if rows is None else rows
        words = self.shapes.dim_words
        fields = {
            **self.residual.row_by_row(first),
            "rows": rows,
            "channels": self.config.dim,
            "words": words,
            "src_base": first * words,
            "src_stride": words,
            "dst_base": 0,
            "dst_stride": words,
            "shift": self._scalar(f"{name}.shift"),
        }
        produced = (self.tensors.norm(name, first, rows),)
        self._emit(Opcode.LAYERNORM, name, fields, (norm_stream(self.shapes, name),), 0, produced)
        self.normed = self.progress.finish(Counter.NORM, rows)

    # --- attention ----------------------------------------------------------------------------------------------

    def _attention(self, at: str) -> None:
        self._layernorm(f"{at}.norm1")
        spans = {part: self._projection(f"{at}.{part.name.lower()}", part) for part in _QKV}
        scored: dict[int, Span] = {}
        context = Span(counter=Counter.CONTEXT, base=0, rows=0)
        for opcode, head in head_order(self.config.heads):
            if opcode is Opcode.SCORES:
                scored[head] = self._scores(at, head, spans)
            else:
                context = self._context(at, head, scored[head], spans[Destination.VALUE])
        fields = {**context.row_by_row(), **_source(self.buffers.context), **self._residual_target()}
        stream = proj_stream(self.shapes, f"{at}.proj")
        self._linear(stream, fields, self.config.tokens, self.config.dim**2, f"{at}.attention")
        self.residual = self.progress.finish(Counter.RESIDUAL, self.config.tokens)

    def _projection(self, name: str, destination: Destination) -> Span:
        """Query, key or value of every head."""
        target = (
            _target(self.buffers.query)
            if destination is Destination.QUERY
            else {"dst_base": 0, "dst_stride": self.shapes.attention_words}
        )
        fields = {**self.normed.row_by_row(), **self._norm_source(), "destination": destination, **target}
        stream = heads_stream(self.shapes, name)
        self._linear(stream, fields, self.config.tokens, self.config.dim**2)
        return self.progress.finish(DESTINATIONS[destination].counter, self.config.tokens)

    def _slot(self, head: int) -> dict[str, int]:
        """Where the scores and row factors of ``head`` lie: heads take turns in two slots."""
        slot = head % 2
        tokens = self.config.tokens
        return {"rows": tokens, "keys": tokens, "score_base": slot * (self.arch.score_words // 2), "slot": slot}

    def _scores(self, at: str, head: int, spans: Mapping[Destination, Span]) -> Span:
        config, query = self.config, self.buffers.query
        offset = head * self.shapes.head_words
        fields = {
            **spans[Destination.QUERY].row_by_row(),
            **spans[Destination.KEY].complete(),
            **self._slot(head),
            "in_chunks": self.shapes.head_words * self.arch.subwords,
            "src_base": query.base + offset,
            "src_stride": query.stride,
            "key_offset": offset,
            "key_stride": self.shapes.attention_words,
            "mult": self._scalar(f"{at}.scores.mult", head),
            "shift": self._scalar(f"{at}.scores.shift", head),
            "bias": self._scalar(f"{at}.scores.bias", head),
            "context_mult": self._scalar(f"{at}.context.mult"),
            "context_shift": self._scalar(f"{at}.context.shift"),
        }
        produced = (self.tensors.scores(f"{at}.scores", head),)
        macs = config.tokens**2 * config.head_dim
        self._emit(Opcode.SCORES, f"{at}.scores.{head}", fields, (), macs, produced)
        return self.progress.finish(Counter.SCORE, config.tokens)

    def _context(self, at: str, head: int, scored: Span, values: Span) -> Span:
        config, context = self.config, self.buffers.context
        offset = head * self.shapes.head_words
        fields = {
            **scored.row_by_row(),
            **values.complete(),
            **self._slot(head),
            "out_tiles": self.shapes.head_words,
            "value_offset": offset,
            "value_stride": self.shapes.attention_words,
            "dst_base": context.base + offset,
            "dst_stride": context.stride,
        }
        produced = (self.tensors.context(f"{at}.context", head),)
        macs = config.tokens**2 * config.head_dim
        self._emit(Opcode.CONTEXT, f"{at}.context.{head}", fields, (), macs, produced)
        return self.progress.finish(Counter.CONTEXT, config.tokens)

    # --- MLP, experts, head -------------------------------------------------------------------------------------

    def _gelu(self, name: str) -> dict[str, int]:
        return {"gelu_mult": self._scalar(f"{name}.gelu_mult"), "gelu_shift": self._scalar(f"{name}.gelu_shift")}

    def _mlp(self, at: str) -> None:
        config, region = self.config, self.buffers.hidden
        self._layernorm(f"{at}.norm2")
        fields = {
            **self.normed.row_by_row(),
            **self._norm_source(),
            "destination": Destination.HIDDEN,
            **_target(region),
            **self._gelu(f"{at}.fc1"),
        }
        macs = config.dim * config.mlp_hidden
        first = linear_stream(self.shapes, f"{at}.fc1", config.mlp_hidden, config.dim)
        self._linear(first, fields, config.tokens, macs)
        hidden = self.progress.finish(Counter.HIDDEN, config.tokens)
        fields = {**hidden.row_by_row(), **_source(region), **self._residual_target()}
        second = linear_stream(self.shapes, f"{at}.fc2", config.dim, config.mlp_hidden)
        self._linear(second, fields, config.tokens, macs, f"{at}.mlp")
        self.residual = self.progress.finish(Counter.RESIDUAL, config.tokens)

    def _gate(self, at: str) -> Span:
        config = self.config
        fields = {
            **self.normed.row_by_row(),
            **self._norm_source(),
            "destination": Destination.GATE,
            "experts": config.experts,
            "top_k": config.top_k,
            "renormalise": config.gate_renormalise,
        }
        stream = linear_stream(self.shapes, f"{at}.gate.{self.task.name}", config.experts, config.dim)
        self._linear(stream, fields, config.tokens, config.dim * config.experts)
        return self.progress.finish(Counter.GATE, config.tokens)

    def _moe(self, at: str) -> None:
        config, region = self.config, self.buffers.expert_hidden
        self._layernorm(f"{at}.norm2")
        gate = self._gate(at)
        streams = expert_streams(self.shapes, f"{at}.experts")
        first, second = streams[0].layers
        fields = {
            **gate.complete(),
            "rows": config.tokens,
            "experts": config.experts,
            "in_chunks": first.in_chunks,
            "hidden_tiles": first.out_tiles,
            "hidden_chunks": second.in_chunks,
            "out_tiles": second.out_tiles,
            "src_base": 0,
            "src_stride": self.shapes.dim_words,
            "hidden_base": region.base,
            "hidden_stride": region.stride,
            "dst_base": 0,
            "dst_stride": self.shapes.dim_words,
            **self._gelu(f"{at}.experts.fc1"),
            "int4_first": first.format.code,
            "int4_second": second.format.code,
        }
        macs = 2 * config.tokens * config.top_k * config.dim * config.expert_hidden
        produced = (self.tensors.residual(f"{at}.moe", Destination.EXPERT),)
        self._emit(Opcode.EXPERTS, f"{at}.experts", fields, streams, macs, produced)
        self.residual = self.progress.finish(Counter.RESIDUAL, config.tokens)

    def _head(self) -> None:
        first, rows = self.shapes.head_rows(self.task)
        self._layernorm("norm", first, rows)
        fields = {**self.normed.row_by_row(), **self._norm_source(), "destination": Destination.RESULT}
        stream = head_stream(self.shapes, self.task)
        self._linear(stream, fields, rows, self.config.dim * self.task.outputs)
        self.progress.finish(Counter.RESULT, rows)
        beats = result_bytes(rows, self.task.outputs, self.arch) // BEAT_BYTES
        self._emit(Opcode.STORE, "store", {"beats": beats})


_QKV = (Destination.QUERY, Destination.KEY, Destination.VALUE)


def _source(region: Region) -> dict[str, int]:
    return {"source": Source.ACTIVATION, "src_base": region.base, "src_stride": region.stride}


def _target(region: Region) -> dict[str, int]:
    return {"dst_base": region.base, "dst_stride": region.stride}
