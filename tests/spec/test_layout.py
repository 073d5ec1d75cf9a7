"""Layouts, taken apart again by plain loops that share nothing with the code."""

import numpy as np
import pytest

from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.layout import (
    image_planes,
    padded_squares,
    param_entries,
    port_slices,
    position_words,
    result_bytes,
    result_rows,
    weight_tiles,
)
from hwgen.spec.weight_formats import DENSE8, PACKED4

arches = pytest.mark.parametrize("arch", list(ARCHS.values()), ids=lambda arch: arch.name)


@arches
@pytest.mark.parametrize("shape", [(1, 1), (19, 48), (70, 33)])
def test_weight_tiles(arch: ArchConfig, shape: tuple[int, int]):
    weight = np.random.default_rng(1).integers(-127, 128, shape).astype(np.int8)
    tiles = weight_tiles(weight, arch).view(np.int8)
    outs, ins = arch.words(shape[0]), arch.chunks(shape[1])
    assert tiles.shape == (outs * ins, arch.tile_bytes)
    compared = 0
    for index, tile in enumerate(tiles):
        out_tile, chunk = divmod(index, ins)
        for place, value in enumerate(tile.tolist()):
            i, o = divmod(place, arch.output_lanes)
            out, column = out_tile * arch.output_lanes + o, chunk * arch.input_lanes + i
            inside = out < shape[0] and column < shape[1]
            assert value == (weight[out, column] if inside else 0)
            compared += inside
    assert compared == weight.size


@arches
def test_param_entries(arch: ArchConfig):
    rng = np.random.default_rng(2)
    count = arch.output_lanes + 3
    bias = rng.integers(-(2**30), 2**30, count).astype(np.int32)
    mult = rng.integers(0, 65536, count).astype(np.uint16)
    shift = rng.integers(0, 48, count).astype(np.uint8)
    data = param_entries(bias, mult, shift, arch).reshape(-1, 8)
    assert len(data) == 2 * arch.output_lanes
    for channel in range(count):
        entry = data[channel].tobytes()
        assert int.from_bytes(entry[:4], "little", signed=True) == bias[channel]
        assert int.from_bytes(entry[4:6], "little") == mult[channel]
        assert entry[6:] == bytes([shift[channel], 0])
    assert not data[count:].any()


def test_negative_gain_keeps_its_sixteen_bits():
    arch = ARCHS["sim"]
    gain = np.array([-32768, -1, 32767], dtype=np.int16)
    entry = param_entries(np.zeros(3, np.int32), gain, np.zeros(3, np.uint8), arch).reshape(-1, 8)
    found = [int.from_bytes(entry[channel].tobytes()[4:6], "little", signed=True) for channel in range(3)]
    assert found == gain.tolist()


@arches
def test_port_slices(arch: ArchConfig):
    words = np.random.default_rng(3).integers(0, 256, (5, arch.tile_bytes), dtype=np.uint8)
    slices = port_slices(words, arch)
    size = arch.tile_bytes // arch.weight_ports
    assert slices.shape == (arch.weight_ports, 5 * size)
    assert size % 16 == 0
    for word in range(5):
        parts = [slices[port, word * size : (word + 1) * size] for port in range(arch.weight_ports)]
        assert np.array_equal(np.concatenate(parts), words[word])


@arches
def test_position_words(arch: ArchConfig):
    position = np.random.default_rng(4).integers(-32768, 32768, (3, 70)).astype(np.int16)
    words = position_words(position, arch).view("<i2").reshape(3, -1)
    assert words.shape[1] == arch.words(70) * arch.output_lanes
    assert np.array_equal(words[:, :70], position)
    assert not words[:, 70:].any()


@arches
@pytest.mark.parametrize("rows", [1, 7, 8])
def test_result_rows(arch: ArchConfig, rows: int):
    """A naive writer in the order in which tiles drain."""
    outputs = 2 * arch.output_lanes - 3
    want = np.random.default_rng(5).integers(-32768, 32768, (rows, outputs)).astype(np.int16)
    padded = np.zeros((rows, arch.words(outputs) * arch.output_lanes), np.int16)
    padded[:, :outputs] = want
    data = b""
    for first in range(0, rows, arch.token_lanes):
        for tile in range(arch.words(outputs)):
            for row in range(first, min(first + arch.token_lanes, rows)):
                data += padded[row, tile * arch.output_lanes : (tile + 1) * arch.output_lanes].tobytes()
    assert len(data) == result_bytes(rows, outputs, arch)
    assert len(data) % 16 == 0
    assert np.array_equal(result_rows(np.frombuffer(data, np.uint8), rows, outputs, arch), want)


@arches
@pytest.mark.parametrize("shape", [(1, 1), (19, 48), (70, 33), (33, 40)])
def test_packed_weights(arch: ArchConfig, shape: tuple[int, int]):
    """Low nibbles hold the even chunks of an output tile, high nibbles the odd ones; a tile begins with a word."""
    weight = np.random.default_rng(6).integers(-7, 8, shape).astype(np.int8)
    tiles = weight_tiles(weight, arch)
    outs, ins = arch.words(shape[0]), arch.chunks(shape[1])
    words = PACKED4.pack(tiles, ins)
    per_tile = PACKED4.words(ins)
    assert DENSE8.words(ins) == ins
    assert words.shape == (outs * per_tile, arch.tile_bytes)
    compared = 0
    for index, word in enumerate(words.tolist()):
        out_tile, pair = divmod(index, per_tile)
        for half in range(2):
            chunk = 2 * pair + half
            wanted = tiles[out_tile * ins + chunk].tolist() if chunk < ins else [0] * arch.tile_bytes
            for byte, code in zip(word, wanted, strict=True):
                assert byte >> (4 * half) & 15 == code & 15
                compared += chunk < ins
    assert compared == tiles.size


@pytest.mark.parametrize(("patch", "side"), [(1, 8), (3, 16), (7, 8), (8, 8), (14, 16), (16, 16)])
def test_images_are_padded_patch_by_patch(patch: int, side: int):
    """Pixel (y, x) of a patch is there, whatever its side; what is beside it is zero."""
    image = np.random.default_rng(patch).integers(1, 256, (2 * patch, 3 * patch, 2), dtype=np.uint8)
    planes = image_planes(image, patch, side).reshape(2, 2 * side, 3 * side)
    pixels = 0
    for channel, y, x in np.argwhere(planes):
        (row, line), (column, dot) = divmod(int(y), side), divmod(int(x), side)
        assert planes[channel, y, x] == image[row * patch + line, column * patch + dot, channel]
        assert max(line, dot) < patch
        pixels += 1
    assert pixels == image.size
    if patch == side:
        assert np.array_equal(planes, image.transpose(2, 0, 1))


def test_weights_are_padded_as_patches_are():
    """Input (plane, y, x) of a square of 3 is input (plane, y, x) of a square of 8."""
    weight = np.arange(1, 1 + 2 * 2 * 9).reshape(2, 18)
    wide = padded_squares(weight, (3, 8)).reshape(2, 2, 8, 8)
    assert np.array_equal(wide[..., :3, :3].reshape(2, 18), weight)
    assert np.count_nonzero(wide) == weight.size
    assert padded_squares(weight, None) is weight
