"""LOAD_WEIGHTS streams: which layers one load brings, how long it is, and its bytes."""

from dataclasses import dataclass, replace

import numpy as np

from hwgen.compiler.parts import word_runs
from hwgen.compiler.walk import Walk
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import PARAM_RING, WEIGHT_RING
from hwgen.spec.layers import Experts, Linear, Norm, Tensor
from hwgen.spec.layout import U8, Array, padded_squares, param_entries, port_slices, weight_tiles
from hwgen.spec.package import QuantisedModel
from hwgen.spec.weight_formats import DENSE8, WeightFormat


@dataclass(frozen=True, kw_only=True)
class Section:
    """A linear layer of a stream, or some of its output tiles, padded for the machine."""

    source: str  # prefix of its arrays in the package
    expert: int | None  # which of a stack of experts
    out_tiles: int
    in_chunks: int
    heads_out: int | None = None  # of the outputs: each is padded to whole words
    heads_in: int | None = None  # of the inputs
    squares_in: tuple[int, int] | None = None  # sides of squares that the inputs are, and of those that hold them
    format: WeightFormat = DENSE8
    identity: int = 0  # inputs that become outputs as they are, without arrays in the package
    first_tile: int = 0  # output tiles of the layer before these
    kept: bool = True  # weights are used again for every tile of rows, so that the ring must hold all of them

    @property
    def tile_words(self) -> int:
        """Ring words of the weights of one output tile."""
        return self.format.words(self.in_chunks)

    @property
    def words(self) -> int:
        """Ring words of the weights."""
        return self.out_tiles * self.tile_words

    @property
    def tiles(self) -> range:
        """Output tiles of the layer: words of the rows that they become."""
        return range(self.first_tile, self.first_tile + self.out_tiles)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What one LOAD_WEIGHTS brings."""

    name: str
    norm: str | None = None  # prefix of a LayerNorm's arrays
    norm_entries: int = 0
    sections: tuple[Section, ...] = ()

    @property
    def param_entries(self) -> int:
        """Parameter entries, all sections."""
        return sum(section.out_tiles for section in self.sections)

    @property
    def weight_words(self) -> int:
        """Words of weights, all sections."""
        return sum(section.words for section in self.sections)

    def port_bytes(self, arch: ArchConfig) -> int:
        """Bytes of one port's slice."""
        entries = (self.norm_entries + self.param_entries) * arch.output_lanes * 8
        return (entries + self.weight_words * arch.tile_bytes) // arch.weight_ports

    def fields(self) -> dict[str, int]:
        """Lengths as LOAD_WEIGHTS states them."""
        return {
            "norm_entries": self.norm_entries,
            "param_entries": self.param_entries,
            "weight_words": self.weight_words,
        }


def norm_stream(walk: Walk, layer: Norm) -> Stream:
    """Parameters of a LayerNorm."""
    return Stream(name=layer.name, norm=layer.name, norm_entries=walk.arch.words(layer.columns))


def linear_streams(walk: Walk, layer: Linear, *, whole: bool) -> tuple[Stream, ...]:
    """One linear layer; heads of its outputs or inputs are padded to whole words. ``whole``: it cannot be cut."""
    tensor, inputs = layer.tensors()[0], walk.tensors[layer.source.tensor]
    section = Section(
        source=layer.name,
        expert=None,
        out_tiles=walk.row_words(tensor),
        in_chunks=walk.chunks(inputs, layer.beside),
        heads_out=tensor.heads,
        heads_in=inputs.heads if layer.beside == 1 else inputs.groups * layer.beside,
        squares_in=inputs.squares,
        format=layer.format,
        kept=walk.rows_at_once(layer) > walk.arch.token_lanes,
    )
    return (Stream(name=layer.name, sections=(section,)),) if whole else _in_parts(walk, section, tensor)


def identity_streams(walk: Walk, tensor: Tensor, source: str) -> tuple[Stream, ...]:
    """Weights that pass rows of the tensor ``source`` on as they are, and leave ``tensor``."""
    inputs = walk.tensors[source]
    section = Section(
        source=tensor.name,
        expert=None,
        out_tiles=walk.arch.words(inputs.columns),
        in_chunks=walk.chunks(inputs),
        heads_in=inputs.heads,
        squares_in=inputs.squares,
        identity=inputs.columns,
        kept=tensor.rows > walk.arch.token_lanes,
    )
    return _in_parts(walk, section, tensor)


def _in_parts(walk: Walk, section: Section, tensor: Tensor) -> tuple[Stream, ...]:
    """A layer in one load, or in even ones of some output tiles; ``tensor`` is what it leaves."""
    most = _most_tiles(walk, section)
    if section.out_tiles <= most:
        return (Stream(name=section.source, sections=(section,)),)
    return tuple(
        Stream(
            name=f"{section.source}.tiles{run.start}-{run.stop - 1}",
            sections=(replace(section, first_tile=run.start, out_tiles=len(run)),),
        )
        for run in word_runs(tensor.groups, walk.group_words(tensor), most)
    )


def _most_tiles(walk: Walk, section: Section) -> int:
    """Output tiles of one load: all when they fit; else those of half the rings, so that the next load has the other.

    More than half when these are too few for the array to work while the operands of the next tile of rows are read:
    then every tile of rows would cost cycles, and the next load costs the array its own beginning only. Parameters come
    before the weights of a load, so that their ring holds all of them.
    """
    rings = [(PARAM_RING.words(walk.arch), 1)]
    if section.kept:
        rings.append((WEIGHT_RING.words(walk.arch), section.tile_words))
    fits = all(section.out_tiles * words <= depth for depth, words in rings)
    half, whole = (min(depth // share // words for depth, words in rings) for share in (2, 1))
    most = section.out_tiles if fits else max(half, min(whole, _least_tiles(walk.arch, section)))
    asked = walk.parts.weight_words
    return max(1, most if asked is None else min(most, asked // section.tile_words))


def _least_tiles(arch: ArchConfig, section: Section) -> int:
    """Output tiles whose chunks take as long as reading the operands of a tile of rows, a word a cycle."""
    operands = arch.token_lanes * -(-section.in_chunks // arch.subwords)
    return -(-operands // section.in_chunks)


def expert_streams(walk: Walk, layer: Experts) -> tuple[Stream, ...]:
    """One stream per expert: both layers."""
    arch, widths = walk.arch, ((layer.hidden, layer.columns), (layer.columns, layer.hidden))
    parts = list(zip(layer.formats().items(), widths, strict=True))
    return tuple(
        Stream(
            name=f"{layer.name}.{expert}",
            sections=tuple(
                Section(
                    source=source,
                    expert=expert,
                    out_tiles=arch.words(outputs),
                    in_chunks=arch.chunks(inputs),
                    format=form,
                )
                for (source, form), (outputs, inputs) in parts
            ),
        )
        for expert in range(layer.experts)
    )


def pad_heads(array: Array, axis: int, heads: int | None, lanes: int) -> Array:
    """``array`` with every head along ``axis`` padded with zeros to whole words; as it is where there are none."""
    if heads is None:
        return array
    moved = np.moveaxis(array, axis, -1)
    lead, columns = moved.shape[:-1], moved.shape[-1] // heads
    width = -(-columns // lanes) * lanes
    out = np.zeros((*lead, heads, width), dtype=array.dtype)
    out[..., :columns] = moved.reshape(*lead, heads, columns)
    return np.moveaxis(out.reshape(*lead, heads * width), -1, axis)


def _section_arrays(package: QuantisedModel, section: Section, arch: ArchConfig) -> tuple[Array, Array, Array, Array]:
    """Weight, bias, multiplier and shift of the section's outputs, with heads padded."""
    lanes = arch.output_lanes
    outputs = slice(section.tiles.start * lanes, section.tiles.stop * lanes)
    weight, bias, mult, shift = _layer_arrays(package, section, lanes)
    return weight[outputs], bias[outputs], mult[outputs], shift[outputs]


def _layer_arrays(package: QuantisedModel, section: Section, lanes: int) -> tuple[Array, Array, Array, Array]:
    """The same of all outputs of the layer."""
    if section.identity:
        bias = np.zeros(section.identity, dtype=np.int32)
        return _padded_inputs(np.eye(section.identity, dtype=np.int8), section, lanes), bias, bias + 1, bias
    parts = [package.arrays[f"{section.source}.{part}"] for part in ("weight", "bias", "mult", "shift")]
    if section.expert is not None:
        parts = [part[section.expert] for part in parts]
    weight, *rest = (pad_heads(part, 0, section.heads_out, lanes) for part in parts)
    return _padded_inputs(weight, section, lanes), rest[0], rest[1], rest[2]


def _padded_inputs(weight: Array, section: Section, lanes: int) -> Array:
    """Zeros where the rows that the weights meet are padded."""
    return pad_heads(padded_squares(weight, section.squares_in), 1, section.heads_in, lanes)


def _norm_entries(package: QuantisedModel, name: str, arch: ArchConfig) -> U8:
    gain, offset = package.arrays[f"{name}.gain"], package.arrays[f"{name}.offset"]
    return param_entries(offset, gain, np.zeros_like(gain), arch)


def stream_bytes(package: QuantisedModel, stream: Stream, arch: ArchConfig) -> U8:
    """The stream as it lies in memory: [ports, bytes of a slice]."""
    parts = [_norm_entries(package, stream.norm, arch)] if stream.norm else []
    arrays = [(section, _section_arrays(package, section, arch)) for section in stream.sections]
    parts += [param_entries(bias, mult, shift, arch) for _, (_, bias, mult, shift) in arrays]
    parts += [section.format.pack(weight_tiles(weight, arch), section.in_chunks) for section, (weight, *_) in arrays]
    return np.concatenate([port_slices(part, arch) for part in parts], axis=1)
