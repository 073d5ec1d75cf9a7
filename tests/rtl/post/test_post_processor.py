"""Post-processor: every destination equals golden, in the stated cycle, with gaps, masks and addresses out of range."""

from collections import Counter as Tally
from copy import deepcopy

import numpy as np
import pytest

from golden.rounding import half_up
from hwgen.rtl.post.post_processor import PostProcessor
from hwgen.rtl.post.row_address import destination_words
from hwgen.spec.destinations import destinations
from hwgen.spec.isa import Destination
from hwgen.spec.timing import RESIDUAL_WINDOW
from tests.rtl.arches import small_arch
from tests.rtl.post_bench import PostBench, expected_events, finished, random_tile, random_world

ARCHES = [(1, 8, 8), (2, 8, 16), (3, 16, 16), (4, 8, 8)]


def compare(arch, world, tiles) -> Tally:
    """Run ``tiles``; events must be equal in kind, cycle and values. Returns how many of each kind there were."""
    bench = PostBench(arch, world, tiles)
    bench.run()
    latency = bench.dut.latency
    want = expected_events(arch, world, tiles, bench.starts, latency)
    assert sorted(bench.events, key=str) == sorted(want, key=str)
    in_flight = {start + n for start in bench.starts for n in range(latency + arch.token_lanes)}
    assert bench.busy == in_flight
    return Tally(event[1] for event in bench.events)


@pytest.mark.parametrize("shape", ARCHES, ids=str)
def test_every_destination(shape):
    arch = small_arch(*shape)
    rng = np.random.default_rng(sum(shape))
    world = random_world(rng, arch)
    order = [destination for _ in range(8) for destination in rng.permutation(list(Destination))]
    tiles = [random_tile(rng, arch, Destination(int(d)), n) for n, d in enumerate(order)]
    kinds = compare(arch, world, tiles)
    rows = sum(lane["valid"] for tile in tiles for lane in tile.lanes)
    assert kinds["trace"] + kinds["fault"] == rows
    for kind in ("residual_write", "activation", "key", "value", "score_write", "scores", "gate", "result"):
        assert kinds[kind] >= 5, kind
    assert kinds["progress"] >= 10


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16)], ids=str)
def test_one_copy_of_the_residual(shape: tuple[int, int, int]):
    """The same events; the copy is asked for in the cycles of rows that are added, and in no other."""
    arch = small_arch(*shape, residual_copies=1)
    rng = np.random.default_rng(sum(shape))
    world = random_world(rng, arch)
    order = [destination for _ in range(6) for destination in rng.permutation(list(Destination))]
    tiles = [random_tile(rng, arch, Destination(int(d)), n) for n, d in enumerate(order)]
    bench = PostBench(arch, deepcopy(world), tiles)
    bench.run()
    want = expected_events(arch, world, tiles, bench.starts, bench.dut.latency)
    assert sorted(bench.events, key=str) == sorted(want, key=str)
    adding = destinations(adds=True)
    starts = [start for start, tile in zip(bench.starts, tiles, strict=True) if tile.tag["destination"] in adding]
    behind = bench.dut.latency + 1 - bench.dut.residual_window  # the start of a tile, to the first address
    assert bench.wanted == [start + behind + row for start in starts for row in range(arch.token_lanes)]
    assert len(starts) == 6 * len(adding) == 12


def test_addresses_end_exactly_at_each_buffer():
    """The last word of every buffer is written, the next one is a fault, and no sum wraps around sixteen bits."""
    arch = small_arch(2, 8, 8)
    rng = np.random.default_rng(5)
    world = random_world(rng, arch)
    tiles = []
    for destination, words in destination_words(arch).items():
        for base, rows, stride, word in (
            (words - 1, (0, 0), 3, 0),
            (words, (0, 0), 3, 0),
            (words - 1, (0, 0), 0, 1),
            (65535, (1, 0), 1, 1),
            (0, (63, 56), 1023, 1023 if destination != Destination.SCORE else 255),
            (0, (63, 64), 1, 0),  # one row past the row factors
        ):
            tile = random_tile(rng, arch, destination, len(tiles))
            tile.tag.update(dst_base=base, dst_stride=stride, out_tile=word)
            tile.gap = 12
            for lane, row in zip(tile.lanes, rows, strict=True):
                lane.update(valid=1, row=row, key_tile=min(word, 255))
            tile.lanes[0]["valid"] = int(rows[0] != rows[1])
            tiles.append(tile)
    kinds = compare(arch, world, tiles)
    assert kinds["fault"] >= 4 * len(destination_words(arch))
    assert kinds["trace"] >= len(destination_words(arch))


def test_a_tile_without_rows_still_finishes():
    arch = small_arch(3, 8, 8)
    rng = np.random.default_rng(6)
    tile = random_tile(rng, arch, Destination.EXPERT, 0)
    tile.tag["finish"] = 1
    for lane in tile.lanes:
        lane["valid"] = 0
    kinds = compare(arch, random_world(rng, arch), [tile])
    assert kinds["progress"] == 1
    assert kinds["trace"] == 0


def _second_sum(shape: tuple[int, int, int], cycles: int) -> tuple[tuple, tuple, tuple]:
    """What a row writes ``cycles`` behind another row of the same word; with the first one's result, and without."""
    arch, rng = small_arch(*shape), np.random.default_rng(cycles)
    world = random_world(rng, arch)
    first, second = (random_tile(rng, arch, Destination.RESIDUAL, n) for n in range(2))
    lanes = [{**first.lanes[0], "valid": 0} for _ in range(arch.token_lanes)]
    last = arch.token_lanes - 1  # the first row is the last of its tile, the second one the first of the next
    first.lanes, second.lanes = [dict(lane) for lane in lanes], [dict(lane) for lane in lanes]
    first.lanes[last] |= {"valid": 1, "row": 7}
    second.lanes[0] |= {"valid": 1, "row": 7}
    for tile in (first, second):
        tile.tag |= {"param": 0, "finish": 0}
        tile.sums = rng.integers(-9, 10, tile.sums.shape)
    first.gap = cycles + last
    bench = PostBench(arch, deepcopy(world), [first, second])
    bench.run()
    address = 7 * second.tag["dst_stride"]
    written = [event[3] for event in bench.events if event[1] == "residual_write"]
    assert len(written) == 2
    without = tuple(finished(arch, deepcopy(world), second, 0, address).tolist())
    finished(arch, world, first, last, address)
    return written[1], tuple(finished(arch, world, second, 0, address).tolist()), without


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16)], ids=str)
def test_a_row_sees_the_residual_of_one_a_window_before(shape: tuple[int, int, int]):
    """From ``residual_window`` cycles on, and in none before: the sum of the earlier row is lost."""
    window = PostProcessor(small_arch(*shape)).residual_window
    assert window == RESIDUAL_WINDOW == 5
    for cycles in range(1, window + 3):
        written, seen, lost = _second_sum(shape, cycles)
        assert seen != lost
        assert written == (seen if cycles >= window else lost), cycles


def test_vectors_tell_half_up_from_half_even():
    """The tiles of this file contain rows whose result depends on the rounding mode."""
    rng = np.random.default_rng(7)
    arch = small_arch(4, 8, 8)
    world = random_world(rng, arch)
    tile = random_tile(rng, arch, Destination.QUERY, 0)
    param = tile.tag["param"]
    exact = (tile.sums + world.bias[param]) * world.mult[param] / 2.0 ** world.shift[param]
    assert np.any(np.rint(exact) != half_up((tile.sums + world.bias[param]) * world.mult[param], world.shift[param]))
