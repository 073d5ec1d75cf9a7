"""Compiled programs for the tests, and what an instruction needs, worked out from its encoded fields alone."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from hwgen.compiler.compile import Compiled, Program, compile_model
from hwgen.compiler.fit import fits
from hwgen.compiler.liveness import stuck
from hwgen.compiler.step import Step
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.encoding import decode
from hwgen.spec.isa import Counter, Destination, Opcode, Unit
from hwgen.spec.model import TaskConfig
from hwgen.spec.package import QuantisedModel
from hwgen.spec.presets import MODELS
from hwgen.spec.weight_bits import with_weight_bits
from tests.golden.random_package import MINI, random_package

Instruction = tuple[Opcode, dict[str, int]]
Load = tuple[int, int, int]  # norm entries, parameter entries, words of weights

# Shapes off the beaten track: channels, heads and hidden units that fill no word, one and three heads, every expert
ODD = replace(MINI, name="odd", image_width=32, dim=54, heads=3, mlp_hidden=60, experts=5, top_k=5, expert_hidden=20)
ONE_HEAD = replace(ODD, name="one-head", dim=40, heads=1, moe_blocks=(0, 1), top_k=2, gate_renormalise=True)
MANY_EXPERTS = replace(ODD, name="many-experts", dim=48, experts=8, top_k=1, depth=3, moe_blocks=(0, 2))
MIXED_BITS = with_weight_bits(replace(ODD, name="mixed-bits"), "*=4,blocks.0.key=8,blocks.1.experts.fc2=8,heads=8")
GREY = replace(ONE_HEAD, name="grey", channels=1, moe_blocks=(), tasks=(TaskConfig(name="c", kind="depth", classes=1),))
# A program takes seconds to compile; of these networks and machines tests/compiler/test_sizes.py says what there is.
LARGE = ("m3vit-tiny-197", "vit-tiny-384", "deit-small", "deit-base", "vit-base", "dinov2-small")
LARGE_ARCHS = ("zcu102-4x16x32", "zcu102-6x16x32", "zcu102-8x16x32-base")
_PRESETS = (config for name, config in MODELS.items() if name not in LARGE)
CONFIGS = {config.name: config for config in (*_PRESETS, ODD, ONE_HEAD, MANY_EXPERTS, MIXED_BITS, GREY)}

DIGESTS = Path(__file__).with_name("digests.json")
# The pairs that fit, as the file has them: to ask takes long, and every process that collects tests would.
PAIRS = [(model, arch) for model, arch in (key.split("/") for key in json.loads(DIGESTS.read_text()))]


def fitting() -> list[tuple[str, str]]:
    """Networks and machines that go together, asked."""
    return [
        (model, arch)
        for model in CONFIGS
        for arch in ARCHS
        if model != "vit-tiny"  # which has the shape of deit-tiny
        and (model == "m3vit-micro" or arch not in LARGE_ARCHS)
        and fits(CONFIGS[model].network, ARCHS[arch])
    ]


@cache
def package(model: str) -> QuantisedModel:
    return random_package(CONFIGS[model])


@cache
def compiled(model: str, arch: str) -> Compiled:
    return compile_model(package(model), ARCHS[arch])


def programs(model: str, arch: str) -> Iterator[Program]:
    found = compiled(model, arch).programs
    assert list(found) == [task.name for task in CONFIGS[model].tasks]
    yield from found.values()


def instructions(program: Program) -> list[Instruction]:
    return [decode(word) for word in program.words]


def weight_words(out_tiles: int, in_chunks: int, int4: int) -> int:
    """Ring words of a layer: of four-bit weights, two chunks of an output tile share one."""
    return out_tiles * (in_chunks // 2 + in_chunks % 2 if int4 else in_chunks)


def needs(opcode: Opcode, f: dict[str, int]) -> list[Load]:
    """Loads that an instruction consumes."""
    if opcode is Opcode.LAYERNORM:
        return [(f["words"], 0, 0)]
    if opcode is Opcode.LINEAR:
        return [(0, f["out_tiles"], weight_words(f["out_tiles"], f["in_chunks"], f["int4"]))]
    if opcode is Opcode.EXPERTS:
        words = weight_words(f["hidden_tiles"], f["in_chunks"], f["int4_first"])
        words += weight_words(f["out_tiles"], f["hidden_chunks"], f["int4_second"])
        return [(0, f["hidden_tiles"] + f["out_tiles"], words)] * f["experts"]
    return []


def brings(f: dict[str, int]) -> Load:
    return f["norm_entries"], f["param_entries"], f["weight_words"]


def counts(opcode: Opcode, f: dict[str, int]) -> tuple[Counter, int]:
    """Progress that an instruction makes."""
    if opcode is Opcode.LINEAR:
        return Counter[Destination(f["destination"]).name], f["rows"]
    if opcode is Opcode.LOAD_PATCHES:
        return Counter.PATCH, f["patch_rows"] * f["patch_columns"]
    table = {
        Opcode.LOAD_POSITION: Counter.RESIDUAL,
        Opcode.LAYERNORM: Counter.NORM,
        Opcode.SCORES: Counter.SCORE,
        Opcode.CONTEXT: Counter.CONTEXT,
        Opcode.EXPERTS: Counter.RESIDUAL,
    }
    return table.get(opcode, Counter.NONE), f.get("rows", 0)


def difference(count: int, base: int) -> int:
    """Signed 16-bit difference, as the hardware forms it."""
    return (count - base + 2**15) % 2**16 - 2**15


def with_queue(arch: str, load_queue: int, **changes: int) -> ArchConfig:
    return replace(ARCHS[arch], load_queue=load_queue, **changes)


ONE = dict.fromkeys((Unit.IO, Unit.NORM, Unit.COMPUTE), 1)  # the smallest queues


def steps_of(program: Program) -> list[Step]:
    """From the words of a program."""
    code = zip(program.listing, instructions(program), strict=True)
    return [Step(opcode=opcode, name=entry.name, fields=fields) for entry, (opcode, fields) in code]


def check_ends(compiled: Compiled) -> None:
    """Every program comes to its end, with the smallest queues as well."""
    for program in compiled.programs.values():
        assert stuck(steps_of(program), compiled.arch) is None
        assert stuck(steps_of(program), compiled.arch, ONE) is None
