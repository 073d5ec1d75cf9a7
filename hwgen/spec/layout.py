"""How tensors lie in DDR and in the buffers: one declaration for compiler, golden machine, driver and documentation.

``linear_stream`` and its relatives turn logical arrays into bytes; the RTL reads exactly this.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.arch import ArchConfig

Array = NDArray[Any]
U8 = NDArray[np.uint8]


def padded(array: Array, axis: int, multiple: int) -> Array:
    """``array`` with zeros appended along ``axis`` up to a multiple."""
    extra = -array.shape[axis] % multiple
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, extra)
    return np.pad(array, widths)


def weight_tiles(weight: Array, arch: ArchConfig) -> U8:
    """int8 [out, in] -> bytes [tiles, input_lanes * output_lanes] in the order (output tile, input chunk).

    Byte ``i * output_lanes + o`` of a tile is the weight of input ``i`` of the chunk to output ``o`` of the tile.
    """
    full = padded(padded(weight.astype(np.int8), 0, arch.output_lanes), 1, arch.input_lanes)
    outs, ins = full.shape[0] // arch.output_lanes, full.shape[1] // arch.input_lanes
    tiles = full.reshape(outs, arch.output_lanes, ins, arch.input_lanes).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(tiles).view(np.uint8).reshape(outs * ins, arch.tile_bytes)


def padded_squares(array: Array, squares: tuple[int, int] | None) -> Array:
    """[..., planes * side * side] -> [..., planes * padded * padded], zeros behind every row and below every square.

    ``squares``: side and padded side; None: the array as it is.
    """
    if squares is None:
        return array
    side, size = squares
    planes = array.reshape(*array.shape[:-1], -1, side, side)
    return padded(padded(planes, -1, size), -2, size).reshape(*array.shape[:-1], -1)


def image_planes(image: Array, patch: int, side: int) -> U8:
    """uint8 [height, width, channels] -> bytes as the machine reads them: one plane a channel, padded patch by patch.

    Every patch has ``patch`` pixels a side in the image and ``side`` in memory. What is behind and below it does not
    count: its weights are zero.
    """
    height, width, channels = image.shape
    cut = image.reshape(height // patch, patch, width // patch, patch, channels).transpose(4, 0, 1, 2, 3)
    return np.ascontiguousarray(padded(padded(cut, -1, side), 2, side)).reshape(-1)


def param_entries(bias: Array, mult: Array, shift: Array, arch: ArchConfig) -> U8:
    """Per-channel parameters -> bytes [entries, output_lanes * 8]: int32 bias, 16-bit multiplier, 8-bit shift, zero.

    LayerNorm parameters use the same entry: offset as bias, signed gain as multiplier, shift unused.
    """
    channels = padded(bias, 0, arch.output_lanes).shape[0]
    entry = np.zeros(channels, dtype=np.dtype([("bias", "<i4"), ("mult", "<u2"), ("shift", "u1"), ("zero", "u1")]))
    entry["bias"][: len(bias)] = bias
    entry["mult"][: len(mult)] = mult.astype(np.int64) & 0xFFFF
    entry["shift"][: len(shift)] = shift
    return entry.view(np.uint8).reshape(-1, arch.output_lanes * 8)


def port_slices(words: U8, arch: ArchConfig) -> U8:
    """bytes [words, word_bytes] -> [ports, words * word_bytes / ports]: port p holds the p-th slice of every word."""
    count, size = words.shape
    split = words.reshape(count, arch.weight_ports, size // arch.weight_ports)
    return np.ascontiguousarray(split.transpose(1, 0, 2)).reshape(arch.weight_ports, -1)


def position_words(position: Array, arch: ArchConfig) -> U8:
    """int16 [tokens, channels] -> bytes of residual words, rows padded to whole words."""
    return padded(position.astype("<i2"), 1, arch.output_lanes).view(np.uint8).reshape(-1)


def result_rows(data: U8, rows: int, outputs: int, arch: ArchConfig) -> NDArray[np.int16]:
    """Bytes of the result region -> int16 [rows, outputs].

    Tiles drain in the order (token tile, output tile, row of the tile); a row is output_lanes little-endian int16.
    Rows past the end of the last token tile are not written.
    """
    lanes, tiles = arch.token_lanes, arch.words(outputs)
    words = data.view("<i2").reshape(-1, arch.output_lanes)
    out = np.zeros((rows, tiles, arch.output_lanes), dtype=np.int16)
    at = 0
    for first in range(0, rows, lanes):
        count = min(lanes, rows - first)
        block = words[at : at + tiles * count].reshape(tiles, count, arch.output_lanes)
        out[first : first + count] = block.transpose(1, 0, 2)
        at += tiles * count
    return out.reshape(rows, -1)[:, :outputs]


def result_bytes(rows: int, outputs: int, arch: ArchConfig) -> int:
    """Bytes of the result region."""
    return rows * arch.words(outputs) * arch.output_lanes * 2
