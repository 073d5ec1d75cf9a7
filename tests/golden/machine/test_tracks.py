"""Words of accesses, and who touched them last."""

import numpy as np
import pytest

from golden.machine.stages import Stage
from golden.machine.tracks import Tracks, blank, places
from hwgen.spec import order
from hwgen.spec.buffers import KEY, NORM, MemoryInfo
from hwgen.spec.ops.op import Access
from tests.golden.hand_program import small_arch

ARCH = small_arch((2, 8, 16))


@pytest.mark.parametrize("memory", [NORM, KEY], ids=lambda memory: memory.name)
@pytest.mark.parametrize("seed", range(20))
def test_places_are_the_words_of_the_rows_that_fit(memory: MemoryInfo, seed: int):
    """One by one: row r in bank r % banks."""
    draw = np.random.default_rng(seed)
    depth, banks = memory.words(ARCH), memory.bank_count(ARCH)
    stride, rows, words = (int(draw.integers(least, most)) for least, most in ((0, 5), (0, 40), (1, 4)))
    base = int(draw.choice([0, 7, depth - 3, depth - stride * 5 - words, depth - stride * 5 - words + 1]))
    found = places(
        Access(memory=memory, base=base, stride=stride, rows=rows, words=words, stage=order.Stage.POST), ARCH
    )
    expected = [
        [row % banks * depth + base + row // banks * stride + word for word in range(words)]
        for row in range(rows)
        if base + row // banks * stride + words <= depth
    ]
    numbers = blank(depth * banks)
    numbers[:] = np.arange(len(numbers))
    assert found.of(numbers).tolist() == expected
    assert [[found.word(row, word) for word in range(words)] for row in range(found.rows)] == expected
    if found.rows:
        found.put(numbers, np.full((1, 1), -1))
        assert np.flatnonzero(numbers < 0).tolist() == sorted({word for row in expected for word in row})


def test_a_conflict_is_the_first_word_whose_last_event_is_not_over():
    tracks = Tracks(NORM.words(ARCH))
    at = places(Access(memory=NORM, base=10, stride=3, rows=4, words=2, stage=order.Stage.NORM), ARCH)
    tracks.read(Stage.LOADER, at, np.arange(5, 9))
    track = tracks.reads[Stage.LOADER]
    assert track.conflict(at, np.array([8])) is None
    assert track.conflict(at, np.array([5, 6, 7, 8])) is None
    assert track.conflict(at, np.array([5, 6, 6, 8])) == (2, 16, 7)
    near = np.zeros((4, 2), dtype=bool)
    assert track.conflict(at, np.array([4]), near) is None
    near[3, 1] = True
    assert track.conflict(at, np.array([4]), near) == (3, 20, 8)
