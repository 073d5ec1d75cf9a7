"""Regions in buffers, and errors that say how much is missing and what helps."""

import re
from dataclasses import replace

import pytest

from hwgen.compiler.allocate import allocate, fits
from hwgen.compiler.compile import compile_model
from hwgen.compiler.errors import CompileError
from hwgen.compiler.shapes import Shapes
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.presets import M3VIT_MICRO, M3VIT_TINY
from tests.compiler.programs import CONFIGS, PAIRS, package
from tests.unchecked import unchecked

SIM = ARCHS["sim"]


@pytest.mark.parametrize(("model", "arch"), PAIRS)
def test_regions_do_not_overlap(model: str, arch: str):
    """Two regions share words only if one is dead before the other is written."""
    machine = ARCHS[arch]
    regions = allocate(Shapes(config=CONFIGS[model], arch=machine)).regions()
    compared = 0
    for index, one in enumerate(regions):
        assert one.end <= machine.activation_words
        for other in regions[index + 1 :]:
            if one.last_use < other.first_use or other.last_use < one.first_use:
                continue
            if "hidden" in one.name and "hidden" in other.name:
                continue  # a block has one or the other
            assert one.end <= other.base or other.end <= one.base
            compared += 1
    assert compared == 1  # query and context


def _message(arch: ArchConfig, config=M3VIT_MICRO) -> str:
    with pytest.raises(CompileError) as caught:
        allocate(Shapes(config=config, arch=arch))
    return str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("max_tokens", 64, "tokens: 65, this arch takes 64; set max_tokens >= 65"),
        ("max_channels", 63, "channels: 64, this arch takes 63; set max_channels >= 64"),
        ("max_inputs", 240, "inputs of fc2: 256, this arch takes 240; set max_inputs >= 256"),
        ("max_experts", 7, "experts: 8, this arch takes 7; set max_experts >= 8"),
        ("residual_bytes", 8300, "residual needs 8,320 B of the residual buffer, this arch has 8,288;"),
        ("norm_bytes", 4159, "norm needs 4,160 B of the norm buffer, this arch has 4,144; set norm_bytes >= 4160"),
        ("activation_bytes", 16384, "hidden needs 16,640 B of the activation buffer, this arch has 16,384;"),
        ("key_bytes", 5119, "key needs 5,120 B of the key buffer, this arch has 4,864; set key_bytes >= 5120"),
        ("value_bytes", 4607, "value needs 4,608 B of the value buffer, this arch has 4,480; set value_bytes >= 4608"),
        ("score_words", 649, "scores of one head need 325 words of the score buffer, this arch has 324 per slot;"),
        ("ring_bytes", 20479, "heads.seg needs 20,480 B of the weight ring, this arch has 20,352; set ring_bytes >="),
        ("param_entries", 19, "heads.seg needs 20 entries of the parameter ring, this arch has 19; set param_entries"),
        ("norm_entries", 3, "norm1 needs 4 entries of the LayerNorm parameter ring, this arch has 3;"),
    ],
)
def test_figures(field: str, value: int, line: str):
    """The message starts with the model and the arch and holds the figures of what is missing."""
    message = _message(unchecked(SIM, **{field: value}))
    assert message.startswith("m3vit-micro does not fit arch sim:\n")
    assert line in message


def test_the_advice_helps():
    """Doing what the message says makes the model fit, whatever was too small."""
    small = {
        name: 40 if name == "max_inputs" else 3
        for name in ("max_tokens", "max_channels", "max_inputs", "max_experts", "param_entries", "norm_entries")
    }
    sizes = ("residual", "norm", "activation", "key", "value", "ring")
    arch = unchecked(SIM, **small, score_words=10, **{f"{name}_bytes": 512 for name in sizes})
    advice = re.findall(r"set (\w+) >= (\d+)", _message(arch))
    assert len({name for name, _ in advice}) == 13
    wanted: dict[str, int] = {}
    for name, value in advice:
        wanted[name] = max(wanted.get(name, 0), int(value))
    assert fits(Shapes(config=M3VIT_MICRO, arch=unchecked(arch, **wanted)))
    for name, value in wanted.items():
        less = unchecked(arch, **{**wanted, name: value - 1})
        slack = {"max_inputs": SIM.output_lanes}.get(name, 1)  # whole words
        assert not fits(Shapes(config=M3VIT_MICRO, arch=unchecked(less, **{name: value - slack}))), name


def test_experts_need_parameters_of_both_layers():
    config = replace(M3VIT_TINY, tasks=M3VIT_TINY.tasks[1:])
    arch = replace(ARCHS["zcu102"], param_entries=17)
    assert "experts needs 18 entries of the parameter ring, this arch has 17" in _message(arch, config)


def test_images_that_the_gather_cannot_read():
    message = _message(SIM, replace(M3VIT_MICRO, image_width=72))
    assert "image width 72 must be a multiple of 16" in message
    message = _message(ARCHS["zcu102"], replace(M3VIT_MICRO, image_height=96, image_width=96, patch=24))
    assert "patch side 24 must be 8 or a multiple of 16" in message


def test_more_words_than_addresses():
    """A buffer may be large, a tensor must be addressable."""
    config = replace(M3VIT_MICRO, image_height=248, image_width=256, patch=8, mlp_hidden=1024)
    message = _message(unchecked(SIM, output_lanes=8, activation_bytes=2**24), config)
    assert "hidden needs 127,104 words of the activation buffer, instructions address 65,536" in message


def test_compile_raises_the_same():
    with pytest.raises(CompileError, match="tokens: 65, this arch takes 64"):
        compile_model(package("m3vit-micro"), unchecked(SIM, max_tokens=64))


def test_field_that_does_not_fit_names_the_instruction():
    good = package("m3vit-micro")
    arrays = dict(good.arrays)
    spoilt = replace(good, arrays=arrays)
    arrays["blocks.0.scores.shift"] = arrays["blocks.0.scores.shift"] + 64  # behind the check of the package
    with pytest.raises(CompileError, match=r"blocks.0.scores.0: SCORES.shift: \d+ does not fit in 6 bits"):
        compile_model(spoilt, SIM)
