"""LOAD_WEIGHTS streams: which layers one load brings, how long it is, and its bytes."""

from dataclasses import dataclass

import numpy as np

from hwgen.compiler.shapes import Shapes
from hwgen.spec.arch import ArchConfig
from hwgen.spec.layers import Experts
from hwgen.spec.layout import U8, Array, param_entries, port_slices, weight_tiles
from hwgen.spec.package import QuantisedModel
from hwgen.spec.weight_formats import DENSE8, WeightFormat


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A linear layer of the package, padded for the machine."""

    source: str  # prefix of its arrays
    expert: int | None  # which of a stack of experts
    out_tiles: int
    in_chunks: int
    pad_outputs: bool = False  # heads of the outputs padded to whole words
    pad_inputs: bool = False  # heads of the inputs padded to whole words
    format: WeightFormat = DENSE8

    @property
    def words(self) -> int:
        """Ring words of the weights."""
        return self.out_tiles * self.format.words(self.in_chunks)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What one LOAD_WEIGHTS brings."""

    name: str
    norm: str | None = None  # prefix of a LayerNorm's arrays
    norm_entries: int = 0
    layers: tuple[Layer, ...] = ()

    @property
    def param_entries(self) -> int:
        """Parameter entries, all layers."""
        return sum(layer.out_tiles for layer in self.layers)

    @property
    def weight_words(self) -> int:
        """Words of weights, all layers."""
        return sum(layer.words for layer in self.layers)

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


def norm_stream(name: str, words: int) -> Stream:
    """Parameters of LayerNorm ``name``."""
    return Stream(name=name, norm=name, norm_entries=words)


def linear_stream(
    shapes: Shapes,
    name: str,
    *,
    out_tiles: int,
    in_chunks: int,
    heads_out: int | None = None,
    heads_in: int | None = None,
) -> Stream:
    """One linear layer; heads of its outputs or inputs are padded to whole words."""
    layer = Layer(
        source=name,
        expert=None,
        out_tiles=out_tiles,
        in_chunks=in_chunks,
        pad_outputs=heads_out is not None,
        pad_inputs=heads_in is not None,
        format=shapes.config.network.linears[name].format,
    )
    return Stream(name=name, layers=(layer,))


def expert_streams(shapes: Shapes, layer: Experts) -> tuple[Stream, ...]:
    """One stream per expert: both layers."""
    arch, widths = shapes.arch, ((layer.hidden, layer.columns), (layer.columns, layer.hidden))
    parts = list(zip(layer.formats().items(), widths, strict=True))
    return tuple(
        Stream(
            name=f"{layer.name}.{expert}",
            layers=tuple(
                Layer(
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


def pad_heads(array: Array, axis: int, shapes: Shapes) -> Array:
    """``array`` with every head along ``axis`` padded with zeros to whole words."""
    heads, dim = shapes.config.heads, shapes.config.head_dim
    width = shapes.head_words * shapes.arch.output_lanes
    moved = np.moveaxis(array, axis, -1)
    out = np.zeros((*moved.shape[:-1], heads, width), dtype=array.dtype)
    out[..., :dim] = moved.reshape(*moved.shape[:-1], heads, dim)
    return np.moveaxis(out.reshape(*moved.shape[:-1], heads * width), -1, axis)


def _layer_arrays(package: QuantisedModel, layer: Layer, shapes: Shapes) -> tuple[Array, Array, Array, Array]:
    """Weight, bias, multiplier and shift with heads padded."""
    parts = [package.arrays[f"{layer.source}.{part}"] for part in ("weight", "bias", "mult", "shift")]
    if layer.expert is not None:
        parts = [part[layer.expert] for part in parts]
    if layer.pad_outputs:
        parts = [pad_heads(part, 0, shapes) for part in parts]
    if layer.pad_inputs:
        parts[0] = pad_heads(parts[0], 1, shapes)
    return parts[0], parts[1], parts[2], parts[3]


def _norm_entries(package: QuantisedModel, name: str, arch: ArchConfig) -> U8:
    gain, offset = package.arrays[f"{name}.gain"], package.arrays[f"{name}.offset"]
    return param_entries(offset, gain, np.zeros_like(gain), arch)


def _weight_words(weight: Array, layer: Layer, arch: ArchConfig) -> U8:
    """Ring words of a layer."""
    return layer.format.pack(weight_tiles(weight, arch), layer.in_chunks)


def stream_bytes(package: QuantisedModel, stream: Stream, shapes: Shapes) -> U8:
    """The stream as it lies in memory: [ports, bytes of a slice]."""
    arch = shapes.arch
    sections = [_norm_entries(package, stream.norm, arch)] if stream.norm else []
    arrays = [_layer_arrays(package, layer, shapes) for layer in stream.layers]
    sections += [param_entries(bias, mult, shift, arch) for _, bias, mult, shift in arrays]
    sections += [_weight_words(weight, layer, arch) for layer, (weight, *_) in zip(stream.layers, arrays, strict=True)]
    return np.concatenate([port_slices(section, arch) for section in sections], axis=1)
