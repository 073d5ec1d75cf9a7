"""Where tensors live in the buffers, and whether the network fits the machine."""

from collections.abc import Iterator
from dataclasses import dataclass

from hwgen.compiler.errors import CompileError
from hwgen.compiler.shapes import Shapes
from hwgen.spec.buffers import ADDRESS_WORDS
from hwgen.spec.model import ModelConfig
from hwgen.spec.weight_formats import DENSE8, PACKED4


@dataclass(frozen=True, kw_only=True)
class Region:
    """Rows of a tensor in a buffer."""

    name: str
    base: int  # word address of row 0
    stride: int  # words from row to row
    rows: int
    first_use: int  # phase of a block in which it is written ...
    last_use: int  # ... and last read; regions whose phases are disjoint may overlap

    @property
    def end(self) -> int:
        """First word past the region."""
        return self.base + self.rows * self.stride


# Phases of the activation buffer: the compute unit takes them in this order, and reads before the next one writes.
PATCHES, ATTENTION, PROJECTION, MLP = range(4)


@dataclass(frozen=True, kw_only=True)
class Buffers:
    """Regions of the activation buffer; the other buffers hold one tensor each, from word 0."""

    patches: Region
    query: Region
    context: Region
    hidden: Region
    expert_hidden: Region

    def regions(self) -> tuple[Region, ...]:
        """All of them."""
        return (self.patches, self.query, self.context, self.hidden, self.expert_hidden)


def _activation(shapes: Shapes) -> Buffers:
    config, arch = shapes.config, shapes.arch
    tokens, heads = config.tokens, shapes.attention_words
    hidden = arch.words(config.mlp_hidden) if shapes.has_dense else 0
    expert = arch.words(config.expert_hidden) if config.moe_blocks else 0
    behind = tokens * heads

    def region(name: str, base: int, stride: int, rows: int, phases: tuple[int, int]) -> Region:
        return Region(name=name, base=base, stride=stride, rows=rows, first_use=phases[0], last_use=phases[1])

    return Buffers(
        patches=region("patches", 0, shapes.patch_words, config.patches, (PATCHES, PATCHES)),
        query=region("query", 0, heads, tokens, (ATTENTION, ATTENTION)),
        context=region("context", behind, heads, tokens, (ATTENTION, PROJECTION)),
        hidden=region("hidden", 0, hidden, tokens, (MLP, MLP)),
        expert_hidden=region("experts.hidden", 0, expert, tokens, (MLP, MLP)),
    )


@dataclass(frozen=True)
class _Need:
    """Words of a buffer (of each bank) that a tensor needs."""

    tensor: str
    words: int
    word_bytes: int  # all banks together
    field: str  # of the arch
    there: int  # words of the buffer


def _buffer_needs(shapes: Shapes, buffers: Buffers) -> Iterator[_Need]:
    """What every tensor needs."""
    config, arch = shapes.config, shapes.arch
    word, rows = arch.output_lanes, config.tokens * shapes.dim_words
    yield _Need("residual", rows, 2 * word, "residual_bytes", arch.residual_words)
    yield _Need("norm", rows, word, "norm_bytes", arch.norm_words)
    for item in buffers.regions():
        if item.rows * item.stride:
            yield _Need(item.name, item.end, word, "activation_bytes", arch.activation_words)
    for name, banks, there in (("key", word, arch.key_words), ("value", arch.input_lanes, arch.value_words)):
        depth = -(-config.tokens // banks) * shapes.attention_words
        yield _Need(name, depth, banks * word, f"{name}_bytes", there)


def _fits_buffers(shapes: Shapes, buffers: Buffers) -> Iterator[str]:
    arch = shapes.arch
    for item in _buffer_needs(shapes, buffers):
        need, there = item.words * item.word_bytes, item.there * item.word_bytes
        buffer = item.field.removesuffix("_bytes")
        if item.words > ADDRESS_WORDS:
            yield (
                f"{item.tensor} needs {item.words:,} words of the {buffer} buffer, instructions address"
                f" {ADDRESS_WORDS:,}; use more output_lanes"
            )
        elif need > there:
            advice = arch.advice(item.field, need)
            yield f"{item.tensor} needs {need:,} B of the {buffer} buffer, this arch has {there:,}; {advice}"
    need, there = shapes.config.tokens * shapes.key_tiles, arch.score_words // 2
    if need > there:
        yield (
            f"scores of one head need {need:,} words of the score buffer, this arch has {there:,} per slot;"
            f" {arch.advice('score_words', 2 * need)}"
        )


def _limits(shapes: Shapes) -> Iterator[tuple[str, int, str, int]]:
    """(what, needed, arch field, limit) of every plain limit."""
    config, arch = shapes.config, shapes.arch
    yield "tokens", config.tokens, "max_tokens", arch.max_tokens
    yield "channels", config.dim, "max_channels", arch.max_channels
    inputs = {"patch_embed": config.patch_values, "proj": shapes.attention_values, "context": config.tokens}
    if shapes.has_dense:
        inputs["fc2"] = config.mlp_hidden
    if config.moe_blocks:
        inputs["experts.fc2"] = config.expert_hidden
        yield "experts", config.experts, "max_experts", arch.max_experts
    for name, count in inputs.items():
        yield f"inputs of {name}", count, "max_inputs", arch.words(arch.max_inputs) * arch.output_lanes


def layer_tiles(shapes: Shapes) -> Iterator[tuple[str, int, int]]:
    """(layer, output tiles, input chunks) of every kind of layer that reads the weight ring."""
    config, arch = shapes.config, shapes.arch
    dim = (arch.words(config.dim), arch.chunks(config.dim))
    yield "patch_embed", dim[0], arch.chunks(config.patch_values)
    yield "query", shapes.attention_words, dim[1]
    yield "proj", dim[0], shapes.attention_words * arch.subwords
    if shapes.has_dense:
        yield "fc1", arch.words(config.mlp_hidden), dim[1]
        yield "fc2", dim[0], arch.chunks(config.mlp_hidden)
    if config.moe_blocks:
        yield "gate", arch.words(config.experts), dim[1]
        yield "experts.fc1", arch.words(config.expert_hidden), dim[1]
        yield "experts.fc2", dim[0], arch.chunks(config.expert_hidden)
    for task in config.tasks:
        yield f"heads.{task.name}", arch.words(task.outputs), dim[1]


def _wide(config: ModelConfig) -> set[str]:
    """Kinds of layers, as `layer_tiles` names them, of which some have eight-bit weights."""
    names = (name.removeprefix("blocks.").lstrip("0123456789.") for name in config.linear_layers.keys() - config.int4)
    parts = {"key": "query", "value": "query"}
    return {parts.get(name, "gate" if name.startswith("gate.") else name) for name in names}


def _fits_rings(shapes: Shapes) -> Iterator[str]:
    arch, wide = shapes.arch, _wide(shapes.config)
    entries: dict[str, int] = {}
    for name, tiles, chunks in layer_tiles(shapes):
        words = tiles * (DENSE8 if name in wide else PACKED4).words(chunks)
        need, there = words * arch.tile_bytes, arch.ring_words * arch.tile_bytes
        if need > there:
            advice = arch.advice("ring_bytes", need)
            yield f"{name} needs {need:,} B of the weight ring, this arch has {there:,}; {advice}"
        stream = "experts" if name.startswith("experts.") else name
        entries[stream] = entries.get(stream, 0) + tiles
    for name, need in entries.items():
        if need > arch.param_entries:
            yield (
                f"{name} needs {need:,} entries of the parameter ring, this arch has {arch.param_entries:,};"
                f" {arch.advice('param_entries', need)}"
            )
    if shapes.dim_words > arch.norm_entries:
        yield (
            f"norm1 needs {shapes.dim_words} entries of the LayerNorm parameter ring, this arch has"
            f" {arch.norm_entries}; {arch.advice('norm_entries', shapes.dim_words)}"
        )


def _fits_image(shapes: Shapes) -> Iterator[str]:
    config = shapes.config
    if config.patch != 8 and config.patch % 16:
        yield f"patch side {config.patch} must be 8 or a multiple of 16"
    if config.image_width % 16:
        yield f"image width {config.image_width} must be a multiple of 16"


def _problems(shapes: Shapes, buffers: Buffers) -> Iterator[str]:
    yield from _fits_image(shapes)
    for what, need, field, limit in _limits(shapes):
        if need > limit:
            yield f"{what}: {need:,}, this arch takes {limit:,}; {shapes.arch.advice(field, need)}"
    yield from _fits_buffers(shapes, buffers)
    yield from _fits_rings(shapes)


def allocate(shapes: Shapes) -> Buffers:
    """Regions of the activation buffer; CompileError lists everything that does not fit."""
    buffers = _activation(shapes)
    problems = list(_problems(shapes, buffers))
    if problems:
        title = f"{shapes.config.name} does not fit arch {shapes.arch.name}:"
        raise CompileError("\n  ".join([title, *problems]))
    return buffers


def fits(shapes: Shapes) -> bool:
    """Whether the network fits the machine."""
    return not any(_problems(shapes, _activation(shapes)))
