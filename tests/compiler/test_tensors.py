"""Words to tensors and back; and odd shapes, executed."""

import numpy as np
import pytest

from golden.network import run_network
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.isa import Destination, Opcode
from tests.compiler.programs import (
    CONFIGS,
    GREY,
    LARGE_ARCHS,
    MANY_EXPERTS,
    ODD,
    ONE_HEAD,
    PAIRS,
    compiled,
    package,
    programs,
)
from tests.golden.random_package import random_image
from tests.golden.test_compiled import run

SMALL = [(model, arch) for model, arch in PAIRS if model in (ODD.name, ONE_HEAD.name, MANY_EXPERTS.name, GREY.name)]


@pytest.mark.parametrize(("model", "arch"), PAIRS)
def test_words_and_tensors(model: str, arch: str):
    """Every value of every tensor comes back from the words; every tensor is covered but for row 0 where stated."""
    lanes = ARCHS[arch].output_lanes
    program = next(programs(model, arch))
    seen: dict[str, np.ndarray] = {}
    for entry in program.listing:
        for item in entry.produced:
            if item.channel == "gate":
                continue
            size = int(np.prod(item.shape))
            full = np.arange(1, size + 1, dtype=np.int64).reshape(item.shape)
            words = item.as_words(full, lanes)
            assert words.shape == (item.rows, item.words, lanes)
            assert np.count_nonzero(words) == item.values
            tensor = seen.setdefault(item.tensor, np.zeros(item.shape, dtype=np.int64))
            for row in (0, item.rows - 1):  # all words of two rows
                for word in range(item.words):
                    item.put(tensor, row, word, words[row, word])
            part = item.part(tensor)
            assert np.array_equal(part[[0, -1]], item.part(full)[[0, -1]])
            filled = item.part(np.ones(item.shape, dtype=np.int64)).size
            assert filled == item.values
    for name, tensor in seen.items():
        rows = tensor.reshape(-1, *tensor.shape[-2:])[:, [-1, 1 if name in ("patch_embed", "norm") else 0], :]
        if program.task != "class" or name != "norm":
            assert np.all(rows), name
    assert len(seen) == len({name for name in seen if not name.endswith("queue_lengths")})


def test_padded_heads():
    """Two heads of 32 in words of 64: half of each word is padding."""
    program = next(programs("m3vit-micro", "sim-1x8x64"))
    query = next(entry for entry in program.listing if entry.name == "blocks.0.query" and entry.produced).produced[0]
    assert (query.groups, query.group_values, query.group_words) == (2, 32, 1)
    assert query.columns(0, 64) == slice(0, 32)
    assert query.columns(1, 64) == slice(32, 64)
    context = next(entry for entry in program.listing if entry.name == "blocks.0.context.1").produced[0]
    assert context.columns(0, 64) == slice(32, 64)
    assert context.destination is Destination.CONTEXT


def test_scores_of_a_head():
    program = next(programs("m3vit-micro", "sim"))
    entry = next(item for item in program.listing if item.name == "blocks.2.scores.1")
    (item,) = entry.produced
    assert entry.opcode is Opcode.SCORES
    assert (item.index, item.shape, item.words) == ((1,), (2, 65, 65), 5)
    assert item.columns(4, 16) == slice(64, 65)


@pytest.mark.parametrize(("model", "arch"), SMALL)
def test_odd_shapes_run(model: str, arch: str):
    """Every task of every odd shape gives the network's codes on the golden machine."""
    image = random_image(CONFIGS[model], 5)
    for task in compiled(model, arch).programs:
        _, codes = run(compiled(model, arch), image, task)
        expected = run_network(package(model), image, task)[f"heads.{task}"]
        assert np.array_equal(codes, expected)
        assert len(np.unique(codes)) > 3


def test_all_small_shapes_are_covered():
    assert len(SMALL) == 4 * (len(ARCHS) - len(LARGE_ARCHS))
