"""The memory image and its manifest; streams taken apart again."""

import hashlib

import numpy as np
import pytest

from hwgen.compiler.compile import Compiled, compile_model
from hwgen.compiler.errors import CompileError
from hwgen.compiler.memory_image import ImagePlan, ImageWriter
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.encoding import to_bytes
from hwgen.spec.isa import Opcode
from hwgen.spec.tables import TABLES
from tests.compiler.programs import CONFIGS, PAIRS, compiled, instructions, package

every_pair = pytest.mark.parametrize(("model", "arch"), PAIRS)


@every_pair
def test_manifest(model: str, arch: str):
    """Entries do not overlap, are aligned, match their digests, and nothing else is in the image."""
    found = compiled(model, arch)
    end = 0
    covered = np.zeros(found.image.size, dtype=bool)
    for entry in found.manifest:
        assert entry.offset >= end
        assert entry.offset % (32 if entry.layout == "program" else 16) == 0
        assert entry.bytes == np.prod(entry.shape)
        end = entry.offset + entry.bytes
        covered[entry.offset : end] = True
        assert hashlib.sha256(found.image[entry.offset : end].tobytes()).hexdigest() == entry.sha256
    assert end <= found.image.size
    assert not found.image[~covered].any()
    assert covered.mean() > 0.95
    assert len({entry.name for entry in found.manifest}) == len(found.manifest)


@every_pair
def test_programs_point_into_the_image(model: str, arch: str):
    """Every load reads exactly one entry of the manifest; programs lie where they say."""
    found = compiled(model, arch)
    by_offset = {entry.offset: entry for entry in found.manifest}
    for task, program in found.programs.items():
        assert program.offset == found.entry(f"program.{task}").offset
        data = to_bytes(list(program.words))
        assert found.image[program.offset : program.offset + len(data)].tobytes() == data
        used = 0
        for entry, (opcode, f) in zip(program.listing, instructions(program), strict=True):
            if "offset" not in f:
                continue
            target = by_offset[f["offset"]]
            assert target.name == entry.name
            if opcode is Opcode.LOAD_WEIGHTS:
                assert target.shape == (ARCHS[arch].weight_ports, f["port_stride"])
            used += 1
        config = CONFIGS[model]
        experts = len(config.moe_blocks) * config.experts
        layers = 3 + config.depth * 8 - len(config.moe_blocks) + experts  # a gate for fc1, experts for fc2
        assert used == len(TABLES) + 1 + layers


def test_tasks_share_weights():
    """Only gates, heads and programs come per task."""
    names = {entry.name for entry in compiled("m3vit-micro", "sim").manifest}
    one = compile_model(package("m3vit-micro"), ARCHS["sim"])
    assert {name for name in names if name.endswith((".seg", ".depth"))} == {
        f"{part}.{task}" for part in ("blocks.1.gate", "blocks.3.gate", "heads", "program") for task in ("seg", "depth")
    }
    assert one.sha256() == compiled("m3vit-micro", "sim").sha256()


def words_of(found: Compiled, name: str, sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    """Sections [count, bytes of a word] of a stream, put together from its port slices."""
    entry = found.entry(name)
    slices = found.image[entry.offset : entry.offset + entry.bytes].reshape(entry.shape)
    at, sections = 0, []
    for count, size in sizes:
        part = size // found.arch.weight_ports
        section = slices[:, at : at + count * part].reshape(-1, count, part)
        sections.append(section.transpose(1, 0, 2).reshape(count, size))
        at += count * part
    assert at == entry.shape[1]
    return sections


def unpack(params: np.ndarray, tiles: np.ndarray, outs: int, arch: ArchConfig) -> tuple[np.ndarray, ...]:
    """(weight [out, in], bias, mult, shift) of a layer, padding included."""
    entry = params.reshape(-1, 8).copy()
    bias = entry[:, :4].copy().view("<i4")[:, 0]
    mult = entry[:, 4:6].copy().view("<u2")[:, 0]
    chunks = len(tiles) // outs
    full = tiles.view(np.int8).reshape(outs, chunks, arch.input_lanes, arch.output_lanes)
    return full.transpose(0, 3, 1, 2).reshape(outs * arch.output_lanes, -1), bias, mult, entry[:, 6]


@pytest.mark.parametrize("name", list(ARCHS))
@pytest.mark.parametrize("layer", ["query", "proj", "fc1"])
def test_streams_of_linear_layers(name: str, layer: str):
    """Weights at their padded places, zeros everywhere else."""
    model = "odd"
    config, arch, found = CONFIGS[model], ARCHS[name], compiled(model, name)
    weight, bias, mult, shift = (
        package(model).arrays[f"blocks.0.{layer}.{p}"] for p in ("weight", "bias", "mult", "shift")
    )
    head_words = arch.words(config.head_dim)
    place = np.arange(config.dim)
    padded = place // config.head_dim * head_words * arch.output_lanes + place % config.head_dim
    rows = padded if layer == "query" else np.arange(weight.shape[0])
    columns = padded if layer == "proj" else np.arange(weight.shape[1])
    outs = config.heads * head_words if layer == "query" else arch.words(weight.shape[0])
    chunks = config.heads * head_words * arch.subwords if layer == "proj" else arch.chunks(weight.shape[1])
    sizes = [(outs, arch.output_lanes * 8), (outs * chunks, arch.tile_bytes)]
    got = unpack(*words_of(found, f"blocks.0.{layer}", sizes), outs, arch)
    assert np.array_equal(got[0][np.ix_(rows, columns)], weight)
    for mine, want in zip(got[1:], (bias, mult, shift), strict=True):
        assert np.array_equal(mine[rows], want)
        assert not np.delete(mine, rows).any()
    assert np.count_nonzero(got[0]) == np.count_nonzero(weight)


@pytest.mark.parametrize("name", list(ARCHS))
def test_streams_of_experts_and_norms(name: str):
    """An expert's stream: parameters of both layers, then tiles of both; a LayerNorm's: offset and gain."""
    model = "many-experts"
    config, arch, found, arrays = CONFIGS[model], ARCHS[name], compiled(model, name), package(model).arrays
    first, second = arch.words(config.expert_hidden), arch.words(config.dim)
    chunks = arch.chunks(config.dim), arch.chunks(config.expert_hidden)
    entry = arch.output_lanes * 8
    for expert in range(config.experts):
        sizes = [
            (first, entry),
            (second, entry),
            (first * chunks[0], arch.tile_bytes),
            (second * chunks[1], arch.tile_bytes),
        ]
        sections = words_of(found, f"blocks.2.experts.{expert}", sizes)
        for layer, outs in enumerate((first, second)):
            prefix = f"blocks.2.experts.fc{layer + 1}"
            weight, bias, *_ = unpack(sections[layer], sections[2 + layer], outs, arch)
            want = arrays[f"{prefix}.weight"][expert]
            assert np.array_equal(weight[: want.shape[0], : want.shape[1]], want)
            assert np.array_equal(bias[: want.shape[0]], arrays[f"{prefix}.bias"][expert])
    norm = words_of(found, "blocks.1.norm2", [(second, entry)])[0].reshape(-1, 8)
    gain = norm[: config.dim, 4:6].copy().view("<i2")[:, 0]
    assert np.array_equal(gain, arrays["blocks.1.norm2.gain"])
    assert np.array_equal(norm[: config.dim, :4].copy().view("<i4")[:, 0], arrays["blocks.1.norm2.offset"])
    assert not norm[config.dim :].any()


def test_image_refuses_nonsense():
    plan = ImagePlan()
    plan.add("a", "table", (4, 4))
    plan.add("a", "table", (4, 4))  # shared
    plan.add("b", "table", (2, 4))
    with pytest.raises(CompileError, match=r"a has two shapes: \(4, 4\) and \(3, 4\)"):
        plan.add("a", "table", (3, 4))
    with pytest.raises(CompileError, match="big ends at byte 4,294,967,424 of the image"):
        plan.add("big", "table", (2**32,))
    writer = ImageWriter(plan)
    with pytest.raises(CompileError, match="a: 15 bytes for a region of 16"):
        writer.put("a", np.zeros(15, np.uint8))
    with pytest.raises(CompileError, match=r"image regions without data: a, b$"):
        writer.manifest()


def test_unknown_entry():
    with pytest.raises(KeyError, match="no 'blocks' in the image"):
        compiled("m3vit-micro", "sim").entry("blocks")
