"""Where tensors live in the buffers, and whether the network fits the machine."""

from collections.abc import Iterator
from dataclasses import dataclass

from hwgen.compiler.errors import CompileError
from hwgen.compiler.shapes import Shapes
from hwgen.spec.buffers import ADDRESS_WORDS
from hwgen.spec.graph import EXPERT_ROLES


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


_SHOWN = {"key": "query", "value": "query"}  # layers of one shape are named once


def layer_tiles(shapes: Shapes) -> Iterator[tuple[str, int, int]]:
    """(role, output tiles, words of weights) of every kind of layer that reads the weight ring, the largest of each."""
    arch, network = shapes.arch, shapes.config.network
    found: dict[str, tuple[int, int]] = {}
    for item in network.linears.values():
        tiles, chunks = arch.words(item.outputs), arch.chunks(item.inputs)
        if item.role in ("query", "key", "value"):
            tiles = shapes.attention_words
        if item.role == "proj":
            chunks = shapes.attention_words * arch.subwords
        role = _SHOWN.get(item.role, item.role)
        words = tiles * item.format.words(chunks)
        found[role] = tiles, max(words, found.get(role, (0, 0))[1])
    for role, (tiles, words) in found.items():
        yield role, tiles, words


def _fits_rings(shapes: Shapes) -> Iterator[str]:
    arch = shapes.arch
    entries: dict[str, int] = {}
    for name, tiles, words in layer_tiles(shapes):
        need, there = words * arch.tile_bytes, arch.ring_words * arch.tile_bytes
        if need > there:
            advice = arch.advice("ring_bytes", need)
            yield f"{name} needs {need:,} B of the weight ring, this arch has {there:,}; {advice}"
        stream = "experts" if name in EXPERT_ROLES else name
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
