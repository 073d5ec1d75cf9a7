"""Layers that do not fit are cut: which parts there are, what they load, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from golden.network import run_network
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.compiler.fit import problems
from hwgen.compiler.listing import ListingEntry
from hwgen.compiler.parts import Parts, even, row_runs, word_runs
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS, KIB
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.model import TaskConfig
from hwgen.spec.presets import M3VIT_MICRO, MODELS
from tests.compiler.programs import CONFIGS, check_ends, package
from tests.compiler.test_image import words_of
from tests.golden.random_package import MINI, random_image, random_package
from tests.golden.test_compiled import run
from tests.golden.test_random_graphs import check_compiled

SIM = ARCHS["sim"]
CLASSES = replace(
    MINI, name="classes", image_width=32, tasks=(TaskConfig(name="class", kind="classification", classes=300),)
)


def entries(compiled: Compiled, name: str, task: str = "seg") -> list[ListingEntry]:
    """The instructions of a layer, loads not among them."""
    found = (item for item in compiled.programs[task].listing if item.opcode is not Opcode.LOAD_WEIGHTS)
    return [item for item in found if item.name == name or item.name.startswith(f"{name}.tiles")]


@pytest.mark.parametrize(
    ("count", "most", "sizes"),
    [(8, 8, [8]), (8, 9, [8]), (9, 8, [4, 5]), (10, 4, [3, 3, 4]), (5, 1, [1] * 5), (7, 3, [2, 2, 3])],
)
def test_even_runs(count: int, most: int, sizes: list[int]):
    runs = even(count, most)
    assert sorted(len(run) for run in runs) == sizes
    assert [thing for run in runs for thing in run] == list(range(count))


@pytest.mark.parametrize(
    ("rows", "most", "lanes", "sizes"),
    [
        (65, 65, 4, [65]),
        (65, 64, 4, [32, 33]),  # 8 tiles of rows, and 9
        (65, 7, 4, [4] * 16 + [1]),
        (65, 3, 4, [2] + [3] * 21),  # less than a tile of rows
        (9, 4, 3, [3, 3, 3]),
        (5, 2, 1, [1, 2, 2]),
    ],
)
def test_runs_of_rows(rows: int, most: int, lanes: int, sizes: list[int]):
    runs = row_runs(rows, most, lanes)
    assert sorted(len(run) for run in runs) == sorted(sizes)
    assert [row for run in runs for row in run] == list(range(rows))
    assert most < lanes or all(run.start % lanes == 0 for run in runs)


@pytest.mark.parametrize(
    ("groups", "words", "most", "runs"),
    [
        (1, 7, 4, [(0, 3), (3, 7)]),
        (3, 2, 4, [(0, 2), (2, 6)]),  # whole heads
        (3, 2, 3, [(0, 2), (2, 4), (4, 6)]),  # not one and a half
        (2, 5, 3, [(0, 2), (2, 5), (5, 7), (7, 10)]),  # within a head
    ],
)
def test_runs_of_words(groups: int, words: int, most: int, runs: list[tuple[int, int]]):
    assert [(run.start, run.stop) for run in word_runs(groups, words, most)] == runs


def test_what_fits_is_whole():
    """sim-1x8x8 has a ring of exactly the largest layer."""
    compiled = compile_model(package("m3vit-micro"), ARCHS["sim-1x8x8"])
    assert (
        compiled.image.tobytes() == compile_model(package("m3vit-micro"), ARCHS["sim-1x8x8"], Parts()).image.tobytes()
    )
    assert not [entry for entry in compiled.manifest if ".tiles" in entry.name]


def test_weights_that_do_not_fit():
    """256 hidden units of 64 inputs: 16 tiles of 8 words; a ring of 97 words takes parts of at most 6 tiles."""
    compiled = compile_model(_experts_small(), replace(SIM, ring_bytes=97 * SIM.tile_bytes))
    parts = entries(compiled, "blocks.0.fc1")
    assert [item.fields["out_tiles"] for item in parts] == [5, 5, 6]
    assert [item.name for item in parts] == [f"blocks.0.fc1.tiles{run}" for run in ("0-4", "5-9", "10-15")]
    base, *others = (item.fields["dst_base"] for item in parts)
    assert others == [base + 5, base + 10]
    assert len({(item.fields["wait_a"], item.fields["wait_a_base"]) for item in parts}) == 1
    (whole,) = entries(compile_model(_experts_small(), SIM), "blocks.0.fc1")
    assert sum(item.macs for item in parts) == whole.macs
    assert compiled.entry("blocks.0.fc1.tiles5-9").bytes == 5 * (8 * SIM.tile_bytes + SIM.output_lanes * 8)


def test_more_than_half_a_ring_hides_the_operands():
    """Four rows of 16 words are read while the array works on four tiles of 16 chunks; a ring of 40 words holds two."""
    arch = replace(ARCHS["sim-4x8x16"], name="wide", input_lanes=16, ring_bytes=40 * 256)
    compiled = compile_model(_experts_small(), arch)
    assert [item.fields["out_tiles"] for item in entries(compiled, "blocks.0.fc2")] == [2, 2]
    half = [item.fields["out_tiles"] for item in entries(compiled, "blocks.0.fc1")]  # five tiles of four chunks: enough
    assert half == [4, 4, 4, 4]
    tight = compile_model(_experts_small(), replace(arch, ring_bytes=31 * 256))  # one tile, and no room for the next
    assert [item.fields["out_tiles"] for item in entries(tight, "blocks.0.fc2")] == [1] * 4
    for other in (compiled, tight):
        check_compiled(other, 0)
        check_ends(other)


def _experts_small():
    """Micro without experts, and a head that any ring holds."""
    config = replace(
        M3VIT_MICRO, moe_blocks=(), tasks=(TaskConfig(name="seg", kind="segmentation", classes=1, cell=2),)
    )
    return random_package(config)


def test_readers_wait_for_the_last_part():
    """The second of two parts has counted a row when the row is whole."""
    compiled = compile_model(_experts_small(), SIM, Parts(weight_words=64))
    assert [item.fields["out_tiles"] for item in entries(compiled, "blocks.0.fc1")] == [8, 8]
    second, *more = entries(compiled, "blocks.0.fc2")
    assert (second.fields["wait_a"], second.fields["wait_a_base"]) == (Counter.HIDDEN, 65)
    assert len(more) == 1
    (norm,) = entries(compiled, "blocks.1.norm1")
    counted = 65 + 2 * 64 + 65 + 65  # position, both parts of the patches, attention, and the first part of fc2
    assert (norm.fields["wait_a"], norm.fields["wait_a_base"]) == (Counter.RESIDUAL, counted)


def test_the_stream_is_waited_for_once():
    """The first part of the patch embedding waits for the position table; those behind it come later anyway."""
    compiled = compile_model(_experts_small(), SIM, Parts(weight_words=24))
    parts = entries(compiled, "patch_embed")
    assert len(parts) == 4
    assert [item.fields.get("wait_b", 0) for item in parts] == [Counter.RESIDUAL, 0, 0, 0]


@pytest.mark.parametrize("bits", ["odd", "mixed-bits"])
def test_parts_load_what_the_layer_loads(bits: str):
    """Parameters and weights of the parts, one after the other, are those of the whole layer."""
    arch = ARCHS["sim-4x8x16"]
    whole, cut = (compile_model(package(bits), arch, parts) for parts in (Parts(), Parts(weight_words=1)))
    for name in ("blocks.0.query", "blocks.0.proj", "blocks.0.fc1"):
        streams = [item.name for item in cut.manifest if item.name.startswith(f"{name}.tiles")]
        assert len(streams) > 2
        got = [_sections(cut, item) for item in sorted(streams, key=lambda item: cut.entry(item).offset)]
        for mine, want in zip(zip(*got, strict=True), _sections(whole, name), strict=True):
            assert np.array_equal(np.concatenate(mine), want), name


def _sections(compiled: Compiled, name: str) -> list[np.ndarray]:
    """Parameter entries and weight words of a stream, from the load that brings it."""
    fields = next(item.fields for item in compiled.programs["seg"].listing if item.name == name)
    entry = compiled.arch.output_lanes * 8
    return words_of(
        compiled, name, [(fields["param_entries"], entry), (fields["weight_words"], compiled.arch.tile_bytes)]
    )


@pytest.mark.parametrize("weight_words", [1, 5, 16])
@pytest.mark.parametrize("name", ["sim", "sim-1x8x64", "sim-3x8x16"])
@pytest.mark.parametrize("model", ["odd", "one-head", "mixed-bits"])
def test_the_same_bits(model: str, name: str, weight_words: int):
    """Heads of several words and of less than one, narrow weights, a task of one row, a mean of all rows."""
    compiled = compile_model(random_package(CONFIGS[model], 7), ARCHS[name], Parts(weight_words=weight_words))
    check_compiled(compiled, 7)
    check_ends(compiled)


def test_one_row_streams_its_weights():
    """A head of one row uses each word once: the ring need not hold them, and one instruction is enough."""
    compiled = compile_model(random_package(CLASSES, 3), replace(SIM, ring_bytes=3 * KIB))
    (head,) = entries(compiled, "heads.class", "class")
    assert head.fields["out_tiles"] * head.fields["in_chunks"] == 19 * 4 > compiled.arch.ring_words
    check_compiled(compiled, 3)
    check_ends(compiled)


def test_parameters_that_do_not_fit():
    """They come before the weights, so that a load brings no more than half the ring has, whatever the rows."""
    arch = replace(ARCHS["sim-2x16x16"], param_entries=8, result_beats=64)
    compiled = compile_model(random_package(CLASSES, 3), arch)
    sizes = [item.fields["out_tiles"] for item in entries(compiled, "heads.class", "class")]
    assert sizes == [3, 4, 4, 4, 4]
    check_compiled(compiled, 3)
    check_ends(compiled)
    says = "heads.class needs 19 entries of the parameter ring, this arch has 8; set param_entries >= 19"
    assert problems(CLASSES.network, replace(arch, result_beats=32)) == [says]  # 19 words of two beats


@pytest.mark.parametrize(
    ("arch", "says"),
    [
        (replace(SIM, ring_bytes=8 * KIB), "heads.seg needs 20,480 B of the weight ring, this arch has 8,192"),
        (replace(SIM, param_entries=6), "heads.seg needs 20 entries of the parameter ring, this arch has 6"),
    ],
)
def test_what_cannot_be_cut(arch: ArchConfig, says: str):
    """Results leave row by row; experts are one instruction, a gate is one too."""
    assert any(text.startswith(says) for text in problems(M3VIT_MICRO.network, arch))
    gate = replace(M3VIT_MICRO, experts=32, tasks=(TaskConfig(name="seg", kind="segmentation", classes=1, cell=2),))
    found = problems(gate.network, replace(SIM, max_experts=32, ring_bytes=SIM.tile_bytes * 15))
    assert [text.partition(" needs ")[0] for text in found] == ["blocks.1.experts.fc1"]
    gates = replace(gate, channels=1, dim=96, heads=2, mlp_hidden=64, expert_hidden=8)
    found = problems(gates.network, replace(ARCHS["sim-4x8x16"], max_experts=32, ring_bytes=23 * SIM.tile_bytes))
    assert found == ["blocks.1.gate.seg needs 3,072 B of the weight ring, this arch has 2,944; set ring_bytes >= 3072"]


@pytest.mark.parametrize("model", ["m3vit-tiny", "deit-tiny"])
def test_a_small_ring(model: str):
    """Networks of a board on a sixteenth of its ring."""
    small, task = random_package(MODELS[model], 2), MODELS[model].tasks[0].name
    compiled, image = compile_model(small, replace(ARCHS["zcu102"], ring_bytes=96 * KIB)), random_image(small.config, 2)
    _, codes = run(compiled, image, task)
    assert np.array_equal(codes, run_network(small, image, task)[f"heads.{task}"])
    check_ends(compiled)
